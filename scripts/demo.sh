#!/usr/bin/env bash
# A walk through kvline's HTTP API with curl: every request as you would type it, and what came back.
#
#     ./run_server.sh --http-port 9780
#     scripts/demo.sh [URL]                   in another terminal; URL is http://127.0.0.1:9780 unless you give one
#
# Where the server wants a token, put it into the environment variable KVLINE_HTTP_TOKEN.
#
# Every answer is checked. At the first one that is not as it should be the walk ends, says why, and exits with status 1.
# It touches no keys but its own, whose names begin with `demo:`, and removes them in the end.
set -euo pipefail

case $#:${1-} in
    0: | 1:http://* | 1:https://*) ;;
    *)
        echo "usage: scripts/demo.sh [URL]    such as http://127.0.0.1:9780; a token goes into KVLINE_HTTP_TOKEN" >&2
        exit 2
        ;;
esac
url=${1:-http://127.0.0.1:9780}
url=${url%/}

# All keys of the walk, as they stand in a URL.
own_keys="demo:greeting demo:bytes demo:empty demo:snow%20%E2%98%83%2Fwhite%3F demo:%00%FF demo:code demo:spark
    demo:visits demo:path demo:list:1 demo:list:2 demo:list:3"


# ---------------------------------------------------------------- how the walk asks and checks; it begins further down

# What is written to files goes into a folder of our own, and so does the token: a command's arguments can be read by
# everybody on the machine, and a folder made by mktemp can't.
folder=$(mktemp -d)
cd "$folder"
headers_we_send=(--header 'User-Agent: kvline-demo')
if [ -n "${KVLINE_HTTP_TOKEN:-}" ]; then
    printf 'Authorization: Bearer %s\n' "$KVLINE_HTTP_TOKEN" >token
    headers_we_send+=(--header @token)
fi
server_is_there=
answers=0

# This machine is reached directly, whatever proxy is set for others.
export no_proxy="127.0.0.1,localhost,::1,${no_proxy-}"

say() { # say LINE...: tell what comes next.
    echo
    printf '# %s\n' "$@"
}

give_up() { # give_up SENTENCE: end the walk.
    printf '\ndemo.sh: %s\n' "$1" >&2
    exit 1
}

fetch() { # fetch ARGUMENT...: run curl. The status goes into $status, the body and the headers into files.
    : >body # curl leaves the file alone where there is no body
    curl --disable --silent --show-error --max-time 10 --output body --dump-header headers --write-out '%{http_code}' \
        "${headers_we_send[@]}" "$@"
}

typed() { # typed WORD...: print words as one types them in a shell, in quotes where they need some.
    local word
    for word; do
        case $word in
            '' | *[!A-Za-z0-9_@%:,./-]*) printf " '%s'" "$word" ;;
            *) printf ' %s' "$word" ;;
        esac
    done
}

ask() { # ask ARGUMENT...: show a request by curl and its answer.
    ask_through '' "$@"
}

ask_through() { # ask_through FILTER ARGUMENT...: the same for `curl ARGUMENT... | FILTER`.
    local filter=$1 shown
    shift
    printf '\n$ curl'
    # shellcheck disable=SC2016 # the variable's name is what one types
    [ ! -e token ] || printf ' -H "Authorization: Bearer $KVLINE_HTTP_TOKEN"'
    printf '%s%s\n' "$(typed "$@")" "${filter:+ | $filter}"
    status=$(fetch "$@") || give_up "no answer from $url: does a server run there? (./run_server.sh --http-port 9780)"
    printf '  HTTP %s%s\n' "$status" "$(sed -n 's/^[Ee][Tt][Aa][Gg]: */, ETag: /p' headers | tr -d '\r')"
    shown=$(bash -c "${filter:-cat}" <body | tr -d '\r\000') || give_up "the answer does not get through: $filter"
    [ -z "$shown" ] || printf '%s\n' "$shown" | sed 's/^/  /'
}

expect() { # expect STATUS [BODY]: check the last answer's status, and its body to the letter.
    expect_status "$1"
    [ $# -lt 2 ] || [ "$(tr -d '\000' <body)" = "$2" ] || give_up "that is wrong: the body should be $2"
}

expect_json() { # expect_json STATUS REGEX: check the last answer's status, and its body when all blanks are taken out.
    expect_status "$1"
    [[ $(tr -d ' \r\n\000' <body) =~ ^$2$ ]] || give_up "that is wrong: the body, without blanks, should match $2"
}

expect_error() { # expect_error STATUS: check that the last answer tells an error, in a sentence.
    expect_json "$1" '\{"error":".+"\}'
}

expect_status() {
    if [ "$status" = 401 ] && [ "$1" != 401 ]; then
        give_up "the server wants a token, or another one: put it into the environment variable KVLINE_HTTP_TOKEN"
    fi
    [ "$status" = "$1" ] || give_up "that is wrong: the status should be $1"
    answers=$((answers + 1))
}

etag() { # etag: print the entity tag in the last answer.
    sed -n 's/^[Ee][Tt][Aa][Gg]: *//p' headers | tr -d '\r'
}

remove_own_keys() { # remove_own_keys: remove what the walk has made, quietly.
    local key
    for key in $own_keys; do
        fetch --request DELETE "$url/keys/$key" >status || return 0
    done
}

leave() {
    [ -z "$server_is_there" ] || remove_own_keys
    rm -rf "$folder"
}
trap leave EXIT


# ---------------------------------------------------------------- the walk

say 'Is it there?'

ask "$url/healthz"
expect 200
server_is_there=yes
remove_own_keys # those of a walk that was cut short


say 'A key is a resource, and its value is the body: bytes, whatever they are. 201 says that the key is new.'

ask -X PUT -d hello "$url/keys/demo:greeting"
expect 201

ask "$url/keys/demo:greeting"
expect 200 hello

ask -H 'Accept: application/json' "$url/keys/demo:greeting"
expect_json 200 '\{"value":"hello"\}'

ask --head "$url/keys/demo:greeting"
expect 200

ask -X PUT -d 'good morning' "$url/keys/demo:greeting"
expect 200

say 'every-byte.bin has each of the 256 bytes once. They come back as they went in; cmp would complain.'

for byte in {0..255}; do
    # shellcheck disable=SC2059 # the format is what makes the byte
    printf "\\x$(printf %02x "$byte")"
done >every-byte.bin

ask -X PUT --data-binary @every-byte.bin "$url/keys/demo:bytes"
expect 201

ask_through 'cmp - every-byte.bin' "$url/keys/demo:bytes"
expect 200

say 'An empty value is a value, and no value is none.'

ask -X PUT -d '' "$url/keys/demo:empty"
expect 201

ask "$url/keys/demo:empty"
expect 200 ''

ask "$url/keys/demo:nothing"
expect_error 404


say 'Any bytes make a key. Those that mean something in a URL are percent-encoded: this key is "demo:snow ☃/white?",' \
    'and the next one ends in a zero byte and 0xFF.'

ask -X PUT -d cold "$url/keys/demo:snow%20%E2%98%83%2Fwhite%3F"
expect 201

ask "$url/keys/demo:snow%20%E2%98%83%2Fwhite%3F"
expect 200 cold

ask -X PUT -d odd "$url/keys/demo:%00%FF"
expect 201

ask "$url/keys/demo:%00%FF"
expect 200 odd


say 'A key can expire: after so many seconds (ex), or milliseconds (px).'

ask -X PUT -d 4711 "$url/keys/demo:code?ex=60"
expect 201

ask -d '["TTL", "demo:code"]' "$url/"
expect_json 200 '\{"result":[1-9][0-9]*\}'

ask -X PUT -d bright "$url/keys/demo:spark?px=100"
expect 201

say 'A moment later:'

for _ in {1..200}; do
    [ "$(fetch "$url/keys/demo:spark")" != 404 ] || break
    sleep 0.05
done
ask "$url/keys/demo:spark"
expect_error 404


say 'Write only if the key is new (nx), or only if it is there (xx). Where the condition fails, nothing is changed.'

ask -X PUT -d hi "$url/keys/demo:greeting?nx"
expect_error 412

ask -X PUT -d hi "$url/keys/demo:nothing?xx"
expect_error 412

ask "$url/keys/demo:greeting"
expect 200 'good morning'


say 'The ETag names a value. Who writes with the tag of what was read (If-Match) overwrites nobody else:'
tag=$(etag)
[ -n "$tag" ] || give_up 'that is wrong: the answer should have an ETag'

ask -X PUT -H "If-Match: $tag" -d 'good evening' "$url/keys/demo:greeting"
expect 200

say 'The value has changed meanwhile, so that the old tag is of no use any more:'

ask -X PUT -H "If-Match: $tag" -d 'good night' "$url/keys/demo:greeting"
expect_error 412

ask "$url/keys/demo:greeting"
expect 200 'good evening'

say 'No value at all must be there for this one:'

ask -X PUT -H 'If-None-Match: *' -d 'good night' "$url/keys/demo:greeting"
expect_error 412


say 'Count. However many count at once, nothing is lost.'

ask -X POST "$url/keys/demo:visits/incr"
expect 200 1

ask -X POST "$url/keys/demo:visits/incr?by=10"
expect 200 11

ask -X POST -H 'Accept: application/json' "$url/keys/demo:visits/incr?by=-1"
expect_json 200 '\{"value":10\}'

say 'What is no integer can not be counted on, and neither can one that would not fit 64 bits.'

ask -X POST "$url/keys/demo:greeting/incr"
expect_error 409

ask -X POST "$url/keys/demo:visits/incr?by=9223372036854775807"
expect_error 409

ask "$url/keys/demo:visits"
expect 200 10


say 'Any command of the text dialect goes as an array of words, in the form that Upstash made common.'

ask -d '["SET", "demo:greeting", "hello"]' "$url/"
expect_json 200 '\{"result":"OK"\}'

ask -d '["STRLEN", "demo:greeting"]' "$url/"
expect_json 200 '\{"result":5\}'

ask -d '["GET", "demo:nothing"]' "$url/"
expect_json 200 '\{"result":null\}'

ask -d '["NONSENSE"]' "$url/"
expect_json 400 '\{"error":"ERR.+"\}'

ask -d 'GET demo:greeting' "$url/"
expect_error 400

say 'Where bytes do not fit JSON, they come in base64 for the asking.'

ask -H 'Upstash-Encoding: base64' -d '["GET", "demo:greeting"]' "$url/"
expect_json 200 '\{"result":"aGVsbG8="\}'

say 'Short commands fit the path.'

ask -X POST "$url/set/demo:path/37"
expect_json 200 '\{"result":"OK"\}'

ask -X POST "$url/incrby/demo:path/5"
expect_json 200 '\{"result":42\}'

ask "$url/get/demo:path"
expect_json 200 '\{"result":"42"\}'

say 'Many commands make one request. One that fails does not stop the others.'

ask -d '[["SET", "demo:list:1", "a"], ["SET", "demo:list:2", "b"], ["NONSENSE"], ["SET", "demo:list:3", "c"]]' \
    "$url/pipeline"
expect_json 200 '\[\{"result":"OK"\},\{"result":"OK"\},\{"error":"ERR.+"\},\{"result":"OK"\}\]'

say 'As a transaction they are one step: nobody sees a state in between.'

ask -d '[["INCRBY", "demo:visits", 32], ["GET", "demo:visits"]]' "$url/multi-exec"
expect_json 200 '\[\{"result":42\},\{"result":"42"\}\]'


say 'List the keys that match a pattern. Go on with the cursor that comes back until it is 0 again.'

cursor=
: >found
until [ "$cursor" = 0 ]; do
    ask "$url/keys?match=demo:list:*&count=1000${cursor:+&cursor=$cursor}"
    expect_json 200 '\{.*"keys":\[.*\].*\}'
    cat body >>found
    cursor=$(sed -n 's/.*"cursor": *"\([0-9]*\)".*/\1/p' body)
    [ -n "$cursor" ] || give_up 'that is wrong: the body should have a cursor'
done
for key in demo:list:1 demo:list:2 demo:list:3; do
    grep -q "\"$key\"" found || give_up "that is wrong: $key should have been listed"
done

say 'The whole store as commands, which rebuild it when they are fed to ./run_client.sh.'

ask_through 'grep demo: | cut -c 1-72' "$url/compact"
expect_status 200
grep -q '^SET demo:greeting hello' body || give_up 'that is wrong: the greeting should stand there'


say 'For whoever runs it: figures for Prometheus, and a description for programs. Open /docs in a browser for yours.'

ask_through 'head -n 6' "$url/metrics"
expect_status 200
grep -q '^# TYPE ' body || give_up 'that is wrong: Prometheus could not read that'

ask_through 'head -c 100' "$url/openapi.json"
expect_json 200 '\{.*"openapi":.*\}'


say 'Clear away.'

ask -X DELETE "$url/keys/demo:greeting"
expect 204 ''

ask -X DELETE "$url/keys/demo:greeting"
expect_error 404

# The rest goes when the walk leaves. This would remove all keys of everybody, and so it is only shown.
say 'What is left of demo: goes the same way. (All keys of the store would go by: curl -X DELETE '"$url/keys)"

printf '\nAll %s answers were as they should be.\n' "$answers"

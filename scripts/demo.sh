#!/usr/bin/env bash
# A demonstration of kvline's HTTP API with curl. It prints every request as you would type it, and the response.
#
#     ./run_server.sh --http-port 9780
#     scripts/demo.sh [URL]                   in another terminal; the default URL is http://127.0.0.1:9780
#
# If the server requires a password, put it into the environment variable KVLINE_PASSWORD.
#
# Every response is checked. At the first unexpected one the script prints the reason and exits with status 1.
# It uses only keys whose names begin with `demo:`, and deletes them at the end.
set -euo pipefail

case $#:${1-} in
    0: | 1:http://* | 1:https://*) ;;
    *)
        echo "usage: scripts/demo.sh [URL]    such as http://127.0.0.1:9780. Put a password into KVLINE_PASSWORD" >&2
        exit 2
        ;;
esac
url=${1:-http://127.0.0.1:9780}
url=${url%/}

# All keys of the demonstration, percent-encoded as in a URL.
own_keys="demo:greeting demo:bytes demo:empty demo:snow%20%E2%98%83%2Fwhite%3F demo:%00%FF demo:code demo:spark
    demo:visits demo:path demo:list:1 demo:list:2 demo:list:3"


# ---------------------------------------------------------------- functions to send requests and to check responses

# The password is in a file, because every user of the machine can read the arguments of a command. Only we can read a
# folder made by mktemp.
folder=$(mktemp -d)
cd "$folder"
headers_we_send=(--header 'User-Agent: kvline-demo')
if [ -n "${KVLINE_PASSWORD:-}" ]; then
    printf 'Authorization: Bearer %s\n' "$KVLINE_PASSWORD" >token
    headers_we_send+=(--header @token)
fi
server_responds=
checked=0

# Connect to this machine directly, even if the environment sets an HTTP proxy.
export no_proxy="127.0.0.1,localhost,::1,${no_proxy-}"

say() { # say LINE...: print a comment on the next request.
    echo
    printf '# %s\n' "$@"
}

fail() { # fail MESSAGE: print the reason and exit.
    printf '\ndemo.sh: %s\n' "$1" >&2
    exit 1
}

fetch() { # fetch ARGUMENT...: run curl. It prints the status, and writes the files `body` and `headers`.
    : >body # because curl does not write the file if there is no body
    curl --disable --silent --show-error --max-time 10 --output body --dump-header headers --write-out '%{http_code}' \
        "${headers_we_send[@]}" "$@"
}

quoted() { # quoted ARGUMENT...: print arguments as in a shell, in quotes if they need them.
    local argument
    for argument; do
        case $argument in
            '' | *[!A-Za-z0-9_@%:,./-]*) printf " '%s'" "$argument" ;;
            *) printf ' %s' "$argument" ;;
        esac
    done
}

request() { # request ARGUMENT...: run curl, and print the command and the response.
    request_through '' "$@"
}

request_through() { # request_through FILTER ARGUMENT...: the same for `curl ARGUMENT... | FILTER`.
    local filter=$1 shown
    shift
    printf '\n$ curl'
    # shellcheck disable=SC2016 # the variable's name is printed, not its value
    [ ! -e token ] || printf ' -H "Authorization: Bearer $KVLINE_PASSWORD"'
    printf '%s%s\n' "$(quoted "$@")" "${filter:+ | $filter}"
    status=$(fetch "$@") || fail "no response from $url. Start a server with ./run_server.sh --http-port 9780"
    printf '  HTTP %s%s\n' "$status" "$(sed -n 's/^[Ee][Tt][Aa][Gg]: */, ETag: /p' headers | tr -d '\r')"
    shown=$(bash -c "${filter:-cat}" <body | tr -d '\r\000') || fail "the command on the body failed: $filter"
    [ -z "$shown" ] || printf '%s\n' "$shown" | sed 's/^/  /'
}

expect() { # expect STATUS [BODY]: check the status and the exact body of the last response.
    expect_status "$1"
    [ $# -lt 2 ] || [ "$(tr -d '\000' <body)" = "$2" ] || fail "unexpected response: the body should be $2"
}

expect_json() { # expect_json STATUS REGEX: check the status and the body, without blanks, of the last response.
    expect_status "$1"
    [[ $(tr -d ' \r\n\000' <body) =~ ^$2$ ]] || fail "unexpected response: the body, without blanks, should match $2"
}

expect_error() { # expect_error STATUS: check that the last response is an error with a message.
    expect_json "$1" '\{"error":".+"\}'
}

expect_status() {
    if [ "$status" = 401 ] && [ "$1" != 401 ]; then
        fail "the server requires another password: put it into the environment variable KVLINE_PASSWORD"
    fi
    [ "$status" = "$1" ] || fail "unexpected response: the status should be $1"
    checked=$((checked + 1))
}

etag() { # etag: print the entity tag of the last response.
    sed -n 's/^[Ee][Tt][Aa][Gg]: *//p' headers | tr -d '\r'
}

delete_own_keys() { # delete_own_keys: delete the keys of the demonstration, without output.
    local key
    for key in $own_keys; do
        fetch --request DELETE "$url/keys/$key" >status || return 0
    done
}

clean_up() {
    [ -z "$server_responds" ] || delete_own_keys
    rm -rf "$folder"
}
trap clean_up EXIT


# ---------------------------------------------------------------- the requests

say 'Is the server healthy?'

request "$url/healthz"
expect 200
server_responds=yes
delete_own_keys # those of an earlier run that was interrupted


say 'A key is a resource. Its value is the body, any bytes. 201 means that the key is new.'

request -X PUT -d hello "$url/keys/demo:greeting"
expect 201

request "$url/keys/demo:greeting"
expect 200 hello

request -H 'Accept: application/json' "$url/keys/demo:greeting"
expect_json 200 '\{"value":"hello"\}'

request --head "$url/keys/demo:greeting"
expect 200

request -X PUT -d 'good morning' "$url/keys/demo:greeting"
expect 200

say 'every-byte.bin contains each of the 256 bytes once. The value is the same; else cmp would print a difference.'

for byte in {0..255}; do
    # shellcheck disable=SC2059 # the format is what makes the byte
    printf "\\x$(printf %02x "$byte")"
done >every-byte.bin

request -X PUT --data-binary @every-byte.bin "$url/keys/demo:bytes"
expect 201

request_through 'cmp - every-byte.bin' "$url/keys/demo:bytes"
expect 200

say 'An empty value exists. A missing key is an error.'

request -X PUT -d '' "$url/keys/demo:empty"
expect 201

request "$url/keys/demo:empty"
expect 200 ''

request "$url/keys/demo:nothing"
expect_error 404


say 'A key may contain any bytes. Those with a meaning in URLs are percent-encoded: this key is "demo:snow ☃/white?",' \
    'and the next one ends in a zero byte and 0xFF.'

request -X PUT -d cold "$url/keys/demo:snow%20%E2%98%83%2Fwhite%3F"
expect 201

request "$url/keys/demo:snow%20%E2%98%83%2Fwhite%3F"
expect 200 cold

request -X PUT -d odd "$url/keys/demo:%00%FF"
expect 201

request "$url/keys/demo:%00%FF"
expect 200 odd


say 'A key can expire after a number of seconds (ex) or milliseconds (px).'

request -X PUT -d 4711 "$url/keys/demo:code?ex=60"
expect 201

request -d '["TTL", "demo:code"]' "$url/"
expect_json 200 '\{"result":[1-9][0-9]*\}'

request -X PUT -d bright "$url/keys/demo:spark?px=100"
expect 201

say 'After 100 milliseconds:'

for _ in {1..200}; do
    [ "$(fetch "$url/keys/demo:spark")" != 404 ] || break
    sleep 0.05
done
request "$url/keys/demo:spark"
expect_error 404


say 'Write only if the key is new (nx), or only if it exists (xx). If the condition fails, nothing is changed.'

request -X PUT -d hi "$url/keys/demo:greeting?nx"
expect_error 412

request -X PUT -d hi "$url/keys/demo:nothing?xx"
expect_error 412

request "$url/keys/demo:greeting"
expect 200 'good morning'


say 'The ETag identifies a value. A write with the ETag that was read (If-Match) overwrites no later change:'
tag=$(etag)
[ -n "$tag" ] || fail 'unexpected response: the response should have an ETag'

request -X PUT -H "If-Match: $tag" -d 'good evening' "$url/keys/demo:greeting"
expect 200

say 'The value has changed, so the old ETag does not match:'

request -X PUT -H "If-Match: $tag" -d 'good night' "$url/keys/demo:greeting"
expect_error 412

request "$url/keys/demo:greeting"
expect 200 'good evening'

say 'Write only if the key does not exist:'

request -X PUT -H 'If-None-Match: *' -d 'good night' "$url/keys/demo:greeting"
expect_error 412


say 'Increment a number. This is atomic: concurrent increments are not lost.'

request -X POST "$url/keys/demo:visits/incr"
expect 200 1

request -X POST "$url/keys/demo:visits/incr?by=10"
expect 200 11

request -X POST -H 'Accept: application/json' "$url/keys/demo:visits/incr?by=-1"
expect_json 200 '\{"value":10\}'

say 'It fails if the value is not an integer, or if the result does not fit into 64 bits.'

request -X POST "$url/keys/demo:greeting/incr"
expect_error 409

request -X POST "$url/keys/demo:visits/incr?by=9223372036854775807"
expect_error 409

request "$url/keys/demo:visits"
expect 200 10


say 'Any command can be posted as an array of arguments, as in the REST API of Upstash.'

request -d '["SET", "demo:greeting", "hello"]' "$url/"
expect_json 200 '\{"result":"OK"\}'

request -d '["STRLEN", "demo:greeting"]' "$url/"
expect_json 200 '\{"result":5\}'

request -d '["GET", "demo:nothing"]' "$url/"
expect_json 200 '\{"result":null\}'

request -d '["NONSENSE"]' "$url/"
expect_json 400 '\{"error":"ERR.+"\}'

request -d 'GET demo:greeting' "$url/"
expect_error 400

say 'Values that are not valid JSON strings can be requested in base64.'

request -H 'Upstash-Encoding: base64' -d '["GET", "demo:greeting"]' "$url/"
expect_json 200 '\{"result":"aGVsbG8="\}'

say 'Short commands can be sent in the path.'

request -X POST "$url/set/demo:path/37"
expect_json 200 '\{"result":"OK"\}'

request -X POST "$url/incrby/demo:path/5"
expect_json 200 '\{"result":42\}'

request "$url/get/demo:path"
expect_json 200 '\{"result":"42"\}'

say 'A pipeline: many commands in one request. If one fails, the others are executed all the same.'

request -d '[["SET", "demo:list:1", "a"], ["SET", "demo:list:2", "b"], ["NONSENSE"], ["SET", "demo:list:3", "c"]]' \
    "$url/pipeline"
expect_json 200 '\[\{"result":"OK"\},\{"result":"OK"\},\{"error":"ERR.+"\},\{"result":"OK"\}\]'

say 'A transaction: many commands in one atomic step.'

request -d '[["INCRBY", "demo:visits", 32], ["GET", "demo:visits"]]' "$url/multi-exec"
expect_json 200 '\[\{"result":42\},\{"result":"42"\}\]'


say 'List the keys that match a pattern. Send the cursor of each response in the next request, until it is 0.'

cursor=
: >found
until [ "$cursor" = 0 ]; do
    request "$url/keys?match=demo:list:*&count=1000${cursor:+&cursor=$cursor}"
    expect_json 200 '\{.*"keys":\[.*\].*\}'
    cat body >>found
    cursor=$(sed -n 's/.*"cursor": *"\([0-9]*\)".*/\1/p' body)
    [ -n "$cursor" ] || fail 'unexpected response: the body should have a cursor'
done
for key in demo:list:1 demo:list:2 demo:list:3; do
    grep -q "\"$key\"" found || fail "unexpected response: $key should be listed"
done

say 'Dump the store as commands. As the input of ./run_client.sh they restore it.'

request_through 'grep demo: | cut -c 1-72' "$url/compact"
expect_status 200
grep -q '^SET demo:greeting hello' body || fail 'unexpected response: the body should contain demo:greeting'


say 'For operators: metrics for Prometheus, and an OpenAPI document. Open /docs in a browser to read it.'

request_through 'head -n 6' "$url/metrics"
expect_status 200
grep -q '^# TYPE ' body || fail 'unexpected response: the body should be in the format of Prometheus'

request_through 'head -c 100' "$url/openapi.json"
expect_json 200 '\{.*"openapi":.*\}'


say 'Delete.'

request -X DELETE "$url/keys/demo:greeting"
expect 204 ''

request -X DELETE "$url/keys/demo:greeting"
expect_error 404

# `clean_up` deletes the other keys of the demonstration. The next request is only printed, because it deletes all keys.
say 'The other demo: keys are deleted in the same way. (This deletes all keys of the store: curl -X DELETE '"$url/keys)"

printf '\nAll %s responses were as expected.\n' "$checked"

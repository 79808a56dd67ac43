-- Replies: from RESP to Lua, and from Lua to RESP3.

local type, next, rawget, error, tonumber = type, next, rawget, error, tonumber
local find, sub, format, gsub, concat = string.find, string.sub, string.format, string.gsub, table.concat

local MAX_DEPTH = 64  -- of a reply: that of common.resp_client.MAX_REPLY_DEPTH

local version  -- of RESP, which the script has chosen

-- From RESP to Lua.

local parse

local function parse_items(text, at, count)
  local items = {}
  for place = 1, count do items[place], at = parse(text, at) end
  return items, at
end

function parse(text, at)
  local stop = find(text, "\r\n", at, true)
  local mark, head = sub(text, at, at), sub(text, at + 1, stop - 1)
  at = stop + 2
  if mark == "$" or mark == "=" then
    local size = tonumber(head)
    if size < 0 then return false, at end
    local value = sub(text, at, at + size - 1)
    if mark == "=" then
      value = {verbatim_string = {format = sub(value, 1, 3), string = sub(value, 5)}}
    end
    return value, at + size + 2
  elseif mark == ":" then return tonumber(head), at
  elseif mark == "+" then return {ok = head}, at
  elseif mark == "-" then return {err = head}, at
  elseif mark == "*" then
    if head == "-1" then return false, at end
    return parse_items(text, at, tonumber(head))
  elseif mark == "_" then return nil, at
  elseif mark == "#" then return head == "t", at
  elseif mark == "," then return {double = tonumber(head)}, at
  elseif mark == "(" then return {big_number = head}, at
  elseif mark == "~" then
    local items, set = nil, {}
    items, at = parse_items(text, at, tonumber(head))
    for _, item in next, items do set[item] = true end
    return {set = set}, at
  end
  local map, key, value = {}, nil, nil  -- %
  for _ = 1, tonumber(head) do
    key, at = parse(text, at)
    value, at = parse(text, at)
    map[key] = value
  end
  return {map = map}, at
end

-- From Lua to RESP3, as luaReplyToRedisReply of Redis does it. A number that does not fit is undefined in C.

local function one_line(text) return (gsub(text, "[\r\n]", " ")) end

local encode

local function encode_string(mark, text, out) out[#out + 1] = mark .. one_line(text) .. "\r\n" end

local function encode_pairs(mark, items, both, out, depth)
  local count = 0
  for _ in next, items do count = count + 1 end
  out[#out + 1] = mark .. count .. "\r\n"
  for key, value in next, items do
    encode(key, out, depth)
    if both then encode(value, out, depth) end
  end
end

local function encode_table(value, out, depth)
  if depth > MAX_DEPTH then
    error({err = "ERR reached lua stack limit"}, 0)
  end
  local field = rawget(value, "err")
  if type(field) == "string" then return encode_string("-", field, out) end
  field = rawget(value, "ok")
  if type(field) == "string" then return encode_string("+", field, out) end
  field = rawget(value, "double")
  if type(field) == "number" then return encode_string(",", format("%.17g", field), out) end
  field = rawget(value, "map")
  if type(field) == "table" then return encode_pairs("%", field, true, out, depth + 1) end
  field = rawget(value, "set")
  if type(field) == "table" then return encode_pairs("~", field, false, out, depth + 1) end
  field = rawget(value, "big_number")
  if type(field) == "string" then return encode(one_line(field), out, depth) end  -- it need not be a number
  field = rawget(value, "verbatim_string")
  if type(field) == "table" and type(field.string) == "string" and type(field.format) == "string" then
    out[#out + 1] = "=" .. (#field.string + 4) .. "\r\n" .. sub(field.format .. "   ", 1, 3) .. ":"
    out[#out + 1] = field.string .. "\r\n"
    return
  end
  local place, count = #out + 1, 0
  out[place] = ""  -- until the number of items is known
  while true do
    local item = rawget(value, count + 1)
    if item == nil then break end
    encode(item, out, depth + 1)
    count = count + 1
  end
  out[place] = "*" .. count .. "\r\n"
end

function encode(value, out, depth)
  local kind = type(value)
  if kind == "string" then
    out[#out + 1] = "$" .. #value .. "\r\n"
    out[#out + 1] = value
    out[#out + 1] = "\r\n"
  elseif kind == "number" then out[#out + 1] = format(":%d\r\n", value)
  elseif kind == "table" then encode_table(value, out, depth)
  elseif kind == "boolean" and version == 3 then out[#out + 1] = value and "#t\r\n" or "#f\r\n"
  elseif value == true then out[#out + 1] = ":1\r\n"
  else out[#out + 1] = "_\r\n" end
end

-- Returns what a script has returned: a string, an integer as a string after a colon, nil, or RESP3.
local function to_reply(value, resp_version)
  if type(value) == "string" then return value, "value" end
  version = resp_version
  local out = {}
  encode(value, out, 1)
  return concat(out), "resp"
end

return parse, to_reply, one_line

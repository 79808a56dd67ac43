-- The library cjson, with the results and the usual errors of lua-cjson 2.1.0 in Redis.

local fail, check_string = ...
local null = newproxy()
local type, next, tostring, tonumber, select = type, next, tostring, tonumber, select
local char, sub, find, format, gsub = string.char, string.sub, string.find, string.format, string.gsub
local concat, floor, huge = table.concat, math.floor, math.huge

local MAX_JSON_DEPTH = 1000
local precision = 14
local escapes = {['"'] = '\\"', ["\\"] = "\\\\", ["/"] = "\\/", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n",
  ["\r"] = "\\r", ["\t"] = "\\t"}
for code = 0, 31 do
  local letter = char(code)
  escapes[letter] = escapes[letter] or format("\\u%04x", code)
end
escapes["\127"] = "\\u007f"

local function quote(text) return '"' .. gsub(gsub(text, '[%c"\\/\127]', escapes), "%z", "\\u0000") .. '"' end

local function json_number(number)
  if number ~= number or number == huge or number == -huge then
    fail("Cannot serialise number: must not be NaN or Inf")
  end
  return format("%." .. precision .. "g", number)
end

-- Returns the length of an array, or nil for an object. As lua_array_length of lua-cjson.
local function array_length(value)
  local highest, count = 0, 0
  for key in next, value do
    if type(key) ~= "number" or key < 1 or key ~= floor(key) then return nil end
    if key > highest then highest = key end
    count = count + 1
  end
  if highest > count * 2 and highest > 10 then fail("Cannot serialise table: excessively sparse array") end
  if count == 0 then return nil end
  return highest
end

local function encode_json(value, out, depth)
  local kind = type(value)
  if kind == "string" then out[#out + 1] = quote(value)
  elseif kind == "number" then out[#out + 1] = json_number(value)
  elseif kind == "boolean" then out[#out + 1] = tostring(value)
  elseif kind == "nil" or value == null then out[#out + 1] = "null"
  elseif kind ~= "table" then fail("Cannot serialise " .. kind .. ": type not supported")
  else
    if depth > MAX_JSON_DEPTH then fail("Cannot serialise, excessive nesting (" .. depth .. ")") end
    local length = array_length(value)
    if length then
      out[#out + 1] = "["
      for place = 1, length do
        if place > 1 then out[#out + 1] = "," end
        encode_json(value[place], out, depth + 1)
      end
      out[#out + 1] = "]"
    else
      out[#out + 1] = "{"
      local is_first = true
      for key, item in next, value do
        if not is_first then out[#out + 1] = "," end
        is_first = false
        if type(key) == "number" then out[#out + 1] = '"' .. json_number(key) .. '":'
        elseif type(key) == "string" then out[#out + 1] = quote(key) .. ":"
        else fail("Cannot serialise " .. type(key) .. ": table key must be a number or string") end
        encode_json(item, out, depth + 1)
      end
      out[#out + 1] = "}"
    end
  end
end

local function fail_json(expected, text, at)
  if at > #text then fail("Expected " .. expected .. " but found T_END at character " .. at) end
  local found = ({["{"] = "T_OBJ_BEGIN", ["}"] = "T_OBJ_END", ["["] = "T_ARR_BEGIN", ["]"] = "T_ARR_END",
    [","] = "T_COMMA", [":"] = "T_COLON", ['"'] = "T_STRING"})[sub(text, at, at)]
  if find(text, "^-?%d", at) then found = "T_NUMBER"
  elseif find(text, "^true", at) or find(text, "^false", at) then found = "T_BOOLEAN"
  elseif find(text, "^null", at) then found = "T_NULL" end
  found = found or "invalid token"
  fail("Expected " .. expected .. " but found " .. found .. " at character " .. at)
end

local function skip(text, at) return find(text, "[^ \t\r\n]", at) or #text + 1 end

local function utf8(code)
  if code < 128 then return char(code) end
  if code < 2048 then return char(192 + floor(code / 64), 128 + code % 64) end
  if code < 65536 then return char(224 + floor(code / 4096), 128 + floor(code / 64) % 64, 128 + code % 64) end
  return char(240 + floor(code / 262144), 128 + floor(code / 4096) % 64, 128 + floor(code / 64) % 64, 128 + code % 64)
end

local unescaped = {['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t"}

local function read_unicode(text, at, start)
  local digits = find(text, "^%x%x%x%x", at) and sub(text, at, at + 3)
  if not digits then fail("Expected value but found invalid unicode escape code at character " .. start) end
  return tonumber(digits, 16)
end

local function decode_string(text, at)
  local start, out = at, {}
  at = at + 1
  while true do
    local stop = find(text, '[%c"\\]', at)
    if not stop or find(text, "^[%z\1-\31]", stop) then
      fail("Expected value but found " .. (stop and "invalid token" or "unexpected end of string")
        .. " at character " .. (stop or #text + 1))
    end
    out[#out + 1] = sub(text, at, stop - 1)
    local letter = sub(text, stop, stop)
    if letter == '"' then return concat(out), stop + 1 end
    if letter == "\\" then
      local escape = sub(text, stop + 1, stop + 1)
      if escape == "u" then
        local code = read_unicode(text, stop + 2, stop)
        at = stop + 6
        if code >= 0xD800 and code < 0xDC00 then
          if sub(text, at, at + 1) ~= "\\u" then
            fail("Expected value but found invalid unicode escape code at character " .. stop)
          end
          code = 65536 + (code - 0xD800) * 1024 + read_unicode(text, at + 2, stop) - 0xDC00
          at = at + 6
        end
        out[#out + 1] = utf8(code)
      elseif unescaped[escape] then
        out[#out + 1] = unescaped[escape]
        at = stop + 2
      else fail("Expected value but found invalid escape code at character " .. stop) end
    else  -- the byte 127
      out[#out + 1] = letter
      at = stop + 1
    end
  end
end

local decode_json

local function decode_array(text, at, depth)
  local items, count = {}, 0
  at = skip(text, at + 1)
  if sub(text, at, at) == "]" then return items, at + 1 end
  while true do
    count = count + 1
    items[count], at = decode_json(text, at, depth)
    at = skip(text, at)
    local mark = sub(text, at, at)
    if mark == "]" then return items, at + 1 end
    if mark ~= "," then fail_json("comma or array end", text, at) end
    at = skip(text, at + 1)
  end
end

local function decode_object(text, at, depth)
  local items, key = {}, nil
  at = skip(text, at + 1)
  if sub(text, at, at) == "}" then return items, at + 1 end
  while true do
    if sub(text, at, at) ~= '"' then fail_json("object key string", text, at) end
    key, at = decode_string(text, at)
    at = skip(text, at)
    if sub(text, at, at) ~= ":" then fail_json("colon", text, at) end
    items[key], at = decode_json(text, skip(text, at + 1), depth)
    at = skip(text, at)
    local mark = sub(text, at, at)
    if mark == "}" then return items, at + 1 end
    if mark ~= "," then fail_json("comma or object end", text, at) end
    at = skip(text, at + 1)
  end
end

function decode_json(text, at, depth)
  local mark = sub(text, at, at)
  if mark == '"' then return decode_string(text, at) end
  if mark == "[" or mark == "{" then
    if depth >= MAX_JSON_DEPTH then
      fail("Found too many nested data structures (" .. depth + 1 .. ") at character " .. at)
    end
    return (mark == "[" and decode_array or decode_object)(text, at, depth + 1)
  end
  local _, stop = find(text, "^-?%d+%.?%d*[eE]?[+-]?%d*", at)
  local number = stop and tonumber(sub(text, at, stop))
  if number then return number, stop + 1 end
  if sub(text, at, at + 3) == "true" then return true, at + 4 end
  if sub(text, at, at + 4) == "false" then return false, at + 5 end
  if sub(text, at, at + 3) == "null" then return null, at + 4 end
  return fail_json("value", text, at)
end

local cjson = {_NAME = "cjson", _VERSION = "2.1.0", null = null}

function cjson.encode(...)
  if select("#", ...) ~= 1 then fail("bad argument #1 to 'encode' (expected 1 argument)") end
  local out = {}
  encode_json((...), out, 1)
  return concat(out)
end

function cjson.decode(...)
  if select("#", ...) ~= 1 then fail("bad argument #1 to 'decode' (expected 1 argument)") end
  local text = check_string((...), 1, "decode")
  local value, at = decode_json(text, skip(text, 1), 0)
  at = skip(text, at)
  if at <= #text then fail_json("the end", text, at) end
  return value
end

return cjson

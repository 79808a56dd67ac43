"""The libraries that Redis adds to Lua: ``bit``, ``cjson``, ``cmsgpack`` and ``struct``, written in Lua.

Lua code, unlike a library in C or Python, is interrupted by SCRIPT KILL and bounded by the memory limit of scripts. The
results and the usual errors are those of the libraries in Redis 7.0.
"""

from __future__ import annotations

LIBRARIES = rb"""
local pack_float, unpack_float, fail = ...
local null = newproxy()
local type, next, tostring, tonumber, select, unpack = type, next, tostring, tonumber, select, unpack
local byte, char, sub, find, format, gsub, rep, reverse =
  string.byte, string.char, string.sub, string.find, string.format, string.gsub, string.rep, string.reverse
local concat, floor, huge, log = table.concat, math.floor, math.huge, math.log

local function check_string(value, place, name)
  if type(value) ~= "string" and type(value) ~= "number" then
    fail("bad argument #" .. place .. " to '" .. name .. "' (string expected, got " .. type(value) .. ")")
  end
  return tostring(value)
end

-- bit: signed numbers of 32 bits.

local bit = {}

local function to_unsigned(value, name)
  local number = tonumber(value)
  if not number then
    local found = value == nil and "no value" or type(value)
    fail("bad argument #1 to '" .. name .. "' (number expected, got " .. found .. ")")
  end
  local rounded = floor(number)
  local rest = number - rounded
  if rest > 0.5 or (rest == 0.5 and rounded % 2 == 1) then rounded = rounded + 1 end
  return rounded % 4294967296
end

local function to_signed(number)
  return number >= 2147483648 and number - 4294967296 or number
end

local nibbles = {band = {}, bor = {}, bxor = {}}
for left = 0, 15 do
  for right = 0, 15 do
    local both, any, odd, power = 0, 0, 0, 1
    for place = 0, 3 do
      local first, second = floor(left / power) % 2, floor(right / power) % 2
      both, any = both + power * first * second, any + power * (first + second - first * second)
      odd, power = odd + power * ((first + second) % 2), power * 2
    end
    local place = left * 16 + right
    nibbles.band[place], nibbles.bor[place], nibbles.bxor[place] = both, any, odd
  end
end

local function combine(found, left, right)
  local result, power = 0, 1
  for _ = 1, 8 do
    local first, second = left % 16, right % 16
    result = result + found[first * 16 + second] * power
    left, right, power = (left - first) / 16, (right - second) / 16, power * 16
  end
  return result
end

for name, found in next, nibbles do
  bit[name] = function(...)
    local result = to_unsigned((...), name)
    for place = 2, select("#", ...) do result = combine(found, result, to_unsigned((select(place, ...)), name)) end
    return to_signed(result)
  end
end

function bit.tobit(value) return to_signed(to_unsigned(value, "tobit")) end
function bit.bnot(value) return to_signed(4294967295 - to_unsigned(value, "bnot")) end

function bit.lshift(value, count)
  return to_signed(to_unsigned(value, "lshift") * 2 ^ (to_unsigned(count, "lshift") % 32) % 4294967296)
end

function bit.rshift(value, count)
  return to_signed(floor(to_unsigned(value, "rshift") / 2 ^ (to_unsigned(count, "rshift") % 32)))
end

function bit.arshift(value, count)
  return floor(to_signed(to_unsigned(value, "arshift")) / 2 ^ (to_unsigned(count, "arshift") % 32))
end

local function rotate(number, count)
  local power = 2 ^ (count % 32)
  return to_signed(number * power % 4294967296 + floor(number * power / 4294967296))
end

function bit.rol(value, count) return rotate(to_unsigned(value, "rol"), to_unsigned(count, "rol")) end
function bit.ror(value, count) return rotate(to_unsigned(value, "ror"), 32 - to_unsigned(count, "ror") % 32) end

function bit.bswap(value)
  local number, result = to_unsigned(value, "bswap"), 0
  for _ = 1, 4 do
    result = result * 256 + number % 256
    number = floor(number / 256)
  end
  return to_signed(result)
end

function bit.tohex(value, digits)
  local number = to_unsigned(value, "tohex")
  local count = digits == nil and 8 or to_signed(to_unsigned(digits, "tohex"))
  local text = format(count < 0 and "%08X" or "%08x", number)
  count = count < 0 and -count or count
  return sub(text, count < 8 and -count or 1, count == 0 and 0 or -1)
end

-- cjson

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

-- cmsgpack

local MAX_PACK_DEPTH = 16

local function big_endian(number, size)
  local bytes = {}
  for place = size, 1, -1 do
    bytes[place] = char(number % 256)
    number = floor(number / 256)
  end
  return concat(bytes)
end

local function from_big_endian(text, at, size, is_signed)
  local number = byte(text, at)
  if is_signed and number > 127 then number = number - 256 end
  for place = at + 1, at + size - 1 do number = number * 256 + byte(text, place) end
  return number
end

local function pack_integer(number)
  if number >= 0 then
    if number < 128 then return char(number) end
    if number < 256 then return "\204" .. char(number) end
    if number < 65536 then return "\205" .. big_endian(number, 2) end
    if number < 4294967296 then return "\206" .. big_endian(number, 4) end
    return "\207" .. big_endian(number, 8)
  end
  if number >= -32 then return char(256 + number) end
  if number >= -128 then return "\208" .. big_endian(number, 1) end
  if number >= -32768 then return "\209" .. big_endian(number, 2) end
  if number >= -2147483648 then return "\210" .. big_endian(number, 4) end
  return "\211" .. big_endian(number, 8)
end

local function pack_length(length, small, limit, marks)
  if length < limit then return char(small + length) end
  if marks[1] and length < 256 then return marks[1] .. char(length) end
  if length < 65536 then return marks[2] .. big_endian(length, 2) end
  return marks[3] .. big_endian(length, 4)
end

local function pack_value(value, out, depth)
  local kind = type(value)
  if kind == "string" then
    out[#out + 1] = pack_length(#value, 160, 32, {"\217", "\218", "\219"})
    out[#out + 1] = value
  elseif kind == "boolean" then out[#out + 1] = value and "\195" or "\194"
  elseif kind == "number" then
    if value == floor(value) and value >= -2 ^ 63 and value < 2 ^ 63 then out[#out + 1] = pack_integer(value)
    else
      local single = pack_float(value, 4, true)
      local is_exact = single and unpack_float(single, true) == value
      out[#out + 1] = is_exact and "\202" .. single or "\203" .. pack_float(value, 8, true)
    end
  elseif kind ~= "table" or depth >= MAX_PACK_DEPTH then out[#out + 1] = "\192"
  else
    local count, highest, is_array = 0, 0, true
    for key in next, value do
      count = count + 1
      if type(key) ~= "number" or key <= 0 or key ~= floor(key) then is_array = false
      elseif key > highest then highest = key end
    end
    if is_array and highest == count then
      out[#out + 1] = pack_length(count, 144, 16, {nil, "\220", "\221"})
      for place = 1, count do pack_value(value[place], out, depth + 1) end
    else
      out[#out + 1] = pack_length(count, 128, 16, {nil, "\222", "\223"})
      for key, item in next, value do
        pack_value(key, out, depth + 1)
        pack_value(item, out, depth + 1)
      end
    end
  end
end

local function need(text, at, size)
  if at + size - 1 > #text then fail("Missing bytes in input.") end
end

local unpack_value

local function unpack_items(text, at, count, is_map, depth)
  local items = {}
  if depth > 200 then fail("Bad data format in input.") end
  for place = 1, count do
    local key = place
    if is_map then key, at = unpack_value(text, at, depth) end
    local item
    item, at = unpack_value(text, at, depth)
    if key ~= nil and key == key then items[key] = item end
  end
  return items, at
end

function unpack_value(text, at, depth)
  need(text, at, 1)
  local mark = byte(text, at)
  at = at + 1
  local function read(size, is_signed)
    need(text, at, size)
    at = at + size
    return from_big_endian(text, at - size, size, is_signed)
  end
  local function read_string(size)
    need(text, at, size)
    at = at + size
    return sub(text, at - size, at - 1), at
  end
  if mark < 128 then return mark, at end
  if mark < 144 then return unpack_items(text, at, mark - 128, true, depth + 1) end
  if mark < 160 then return unpack_items(text, at, mark - 144, false, depth + 1) end
  if mark < 192 then return read_string(mark - 160) end
  if mark >= 224 then return mark - 256, at end
  if mark == 192 then return nil, at end
  if mark == 194 or mark == 195 then return mark == 195, at end
  if mark >= 196 and mark <= 198 then return read_string(read(2 ^ (mark - 196))) end
  if mark == 202 or mark == 203 then
    local size = mark == 202 and 4 or 8
    need(text, at, size)
    return unpack_float(sub(text, at, at + size - 1), true), at + size
  end
  if mark >= 204 and mark <= 207 then return read(2 ^ (mark - 204)), at end
  if mark >= 208 and mark <= 211 then return read(2 ^ (mark - 208), true), at end
  if mark >= 217 and mark <= 219 then return read_string(read(2 ^ (mark - 217))) end
  if mark == 220 or mark == 221 then
    local count = read(2 ^ (mark - 219))
    return unpack_items(text, at, count, false, depth + 1)
  end
  if mark == 222 or mark == 223 then
    local count = read(2 ^ (mark - 221))
    return unpack_items(text, at, count, true, depth + 1)
  end
  fail("Bad data format in input.")
end

local function unpack_several(text, at, limit)
  local values, count = {}, 0
  while at <= #text and count < limit do
    count = count + 1
    values[count], at = unpack_value(text, at, 0)
  end
  return values, count, at
end

local cmsgpack = {
  _NAME = "cmsgpack", _VERSION = "lua-cmsgpack 0.4.0", _DESCRIPTION = "MessagePack C implementation for Lua",
}

function cmsgpack.pack(...)
  local count, out = select("#", ...), {}
  if count == 0 then fail("bad argument #0 to 'pack' (MessagePack pack needs input.)") end
  for place = 1, count do pack_value((select(place, ...)), out, 0) end
  return concat(out)
end

function cmsgpack.unpack(text)
  local values, count = unpack_several(check_string(text, 1, "unpack"), 1, huge)
  return unpack(values, 1, count)
end

function cmsgpack.unpack_limit(text, limit, offset)
  text = check_string(text, 1, "unpack_limit")
  local values, count, at = unpack_several(text, (offset or 0) + 1, limit)
  return at > #text and -1 or at - 1, unpack(values, 1, count)
end

function cmsgpack.unpack_one(text, offset) return cmsgpack.unpack_limit(text, 1, offset) end

-- struct

local sizes = {b = 1, B = 1, h = 2, H = 2, l = 8, L = 8, T = 8, f = 4, d = 8, x = 1}

-- Calls visit(option, size) for each option of a format, after the padding that its alignment needs.
local function read_format(text, name, visit)
  local at, is_big, alignment, position = 1, false, 1, 0
  while at <= #text do
    local option = sub(text, at, at)
    local _, stop = find(text, "^%d*", at + 1)
    local digits = sub(text, at + 1, stop)
    at = at + 1
    local function number(default)
      at = stop + 1
      return digits == "" and default or tonumber(digits)
    end
    if option == "<" or option == "=" then is_big = false
    elseif option == ">" then is_big = true
    elseif option == "!" then
      alignment = number(8)
      if alignment <= 0 or alignment ~= 2 ^ floor(log(alignment) / log(2) + 0.5) then
        fail("alignment is not a power of 2")
      end
    elseif option ~= " " then
      local size = sizes[option]
      if option == "i" or option == "I" then
        size = number(4)
        if size > 32 then fail("integral size " .. format("%d", size) .. " is larger than limit of 32") end
      elseif option == "c" then size = number(1)
      elseif option == "s" then size = 0
      elseif not size then fail("bad argument #1 to '" .. name .. "' (invalid format option '" .. option .. "')") end
      local aligned = size > alignment and alignment or size
      local padding = (option ~= "c" and aligned > 1) and -position % aligned or 0
      position = position + padding
      position = position + visit(option, size, is_big, padding)
    end
  end
  return position
end

local struct = {}

function struct.pack(text, ...)
  text = check_string(text, 1, "pack")
  local values, count, out, place = {...}, select("#", ...), {}, 0
  local function take(kind)
    place = place + 1
    local value = values[place]
    if kind == "number" then value = tonumber(value) elseif type(value) == "number" then value = tostring(value) end
    if type(value) ~= kind then
      local found = place > count + 1 and "no value" or type(values[place])
      fail("bad argument #" .. place + 1 .. " to 'pack' (" .. kind .. " expected, got " .. found .. ")")
    end
    return value
  end
  read_format(text, "pack", function(option, size, is_big, padding)
    out[#out + 1] = rep("\0", padding)
    if option == "x" then out[#out + 1] = "\0"
    elseif option == "s" or option == "c" then
      local value = take("string")
      if size == 0 then size = #value end
      if #value < size then fail("bad argument #" .. place + 1 .. " to 'pack' (string too short)") end
      out[#out + 1] = sub(value, 1, size) .. (option == "s" and "\0" or "")
      return size + (option == "s" and 1 or 0)
    elseif option == "f" or option == "d" then out[#out + 1] = pack_float(take("number"), size, is_big)
    else
      local number, bytes = floor(take("number")), {}
      for index = 1, size do
        bytes[is_big and size - index + 1 or index] = char(number % 256)
        number = floor(number / 256)
      end
      out[#out + 1] = concat(bytes)
    end
    return size
  end)
  return concat(out)
end

function struct.unpack(text, data, start)
  text, data = check_string(text, 1, "unpack"), check_string(data, 2, "unpack")
  local at, values, count = start or 1, {}, 0
  if at < 1 then fail("offset must be 1 or greater") end
  local function add(value)
    count = count + 1
    values[count] = value
  end
  local function take(size)
    if at + size - 1 > #data then fail("bad argument #2 to 'unpack' (data string too short)") end
    at = at + size
    return sub(data, at - size, at - 1)
  end
  read_format(text, "unpack", function(option, size, is_big, padding)
    take(padding)
    if option == "x" then take(1)
    elseif option == "s" then
      local stop = find(data, "%z", at)
      if not stop then fail("unfinished string in data") end
      size = stop - at + 1
      add(sub(take(size), 1, -2))
    elseif option == "c" then
      if size == 0 then
        if type(values[count]) ~= "number" then fail("format 'c0' needs a previous size") end
        size, count = values[count], count - 1
      end
      add(take(size))
    elseif option == "f" or option == "d" then add(unpack_float(take(size), is_big))
    else
      local bytes = take(size)
      add(from_big_endian(is_big and bytes or reverse(bytes), 1, size, find(option, "[bhli]")))
    end
    return size
  end)
  count = count + 1
  values[count] = at
  return unpack(values, 1, count)
end

function struct.size(text)
  return read_format(check_string(text, 1, "size"), "size", function(option, size)
    if option == "s" or (option == "c" and size == 0) then
      fail("bad argument #1 to 'size' (option '" .. option .. "' has no fixed size)")
    end
    return size
  end)
end

return {bit = bit, cjson = cjson, cmsgpack = cmsgpack, struct = struct}
"""
"""Gets functions that pack and unpack numbers with a fraction. Returns the libraries by name."""

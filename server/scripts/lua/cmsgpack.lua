-- The library cmsgpack: MessagePack.

local fail, check_string, from_big_endian, pack_float, unpack_float = ...
local type, next, select, unpack = type, next, select, unpack
local byte, char, sub = string.byte, string.char, string.sub
local concat, floor, huge = table.concat, math.floor, math.huge

local MAX_PACK_DEPTH = 16

local function big_endian(number, size)
  local bytes = {}
  for place = size, 1, -1 do
    bytes[place] = char(number % 256)
    number = floor(number / 256)
  end
  return concat(bytes)
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

return cmsgpack

-- The library struct: values in the binary formats of C.

local fail, check_string, from_big_endian, pack_float, unpack_float = ...
local type, tostring, tonumber, select, unpack = type, tostring, tonumber, select, unpack
local char, sub, find, format, rep, reverse =
  string.char, string.sub, string.find, string.format, string.rep, string.reverse
local concat, floor, log = table.concat, math.floor, math.log

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

return struct

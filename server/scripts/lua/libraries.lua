-- The libraries that Redis adds to Lua, written in Lua. Lua code, unlike a library in C or Python, is interrupted by
-- SCRIPT KILL and bounded by the memory limit of scripts. The results and the usual errors are those of Redis 7.0.
--
-- Gets functions that pack and unpack numbers with a fraction, and one that raises an error with the position of the
-- script. Returns the libraries by name.

local parts, pack_float, unpack_float, fail = ...
local type, tostring, byte = type, tostring, string.byte

local function check_string(value, place, name)
  if type(value) ~= "string" and type(value) ~= "number" then
    fail("bad argument #" .. place .. " to '" .. name .. "' (string expected, got " .. type(value) .. ")")
  end
  return tostring(value)
end

local function from_big_endian(text, at, size, is_signed)
  local number = byte(text, at)
  if is_signed and number > 127 then number = number - 256 end
  for place = at + 1, at + size - 1 do number = number * 256 + byte(text, place) end
  return number
end

return {
  bit = parts.bit(fail),
  cjson = parts.cjson(fail, check_string),
  cmsgpack = parts.cmsgpack(fail, check_string, from_big_endian, pack_float, unpack_float),
  struct = parts.struct(fail, check_string, from_big_endian, pack_float, unpack_float),
}

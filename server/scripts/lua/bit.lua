-- The library bit: operations on signed numbers of 32 bits.

local fail = ...
local type, next, tonumber, select = type, next, tonumber, select
local sub, format, floor = string.sub, string.format, math.floor

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

return bit

-- math.random: the generator of Redis (redisLrand48), so that scripts get the same numbers after math.randomseed.

local first_seed, fail = ...
local type, tonumber, select, floor = type, tonumber, select, math.floor

local random_high, random_middle, random_low

local function seed(number)
  number = number % 4294967296
  random_high, random_middle, random_low = floor(number / 65536), number % 65536, 0x330E
end
seed(first_seed)

local function random()
  local low = 0xE66D * random_low + 0xB
  local middle = 0xE66D * random_middle + 0xDEEC * random_low + floor(low / 65536)
  local high = 0xE66D * random_high + 0xDEEC * random_middle + 0x5 * random_low + floor(middle / 65536)
  random_low, random_middle, random_high = low % 65536, middle % 65536, high % 65536
  return (random_high * 32768 + floor(random_middle / 2)) / 2147483647 % 1
end

local function whole(value, place)
  local number = tonumber(value)
  if not number then
    fail("bad argument #" .. place .. " to 'random' (number expected, got " .. type(value) .. ")")
  end
  return number < 0 and -floor(-number) or floor(number)
end

local function random_number(...)
  local count, number = select("#", ...), random()
  if count == 0 then return number end
  local low, high = 1, whole((...), 1)
  if count == 2 then low, high = high, whole((select(2, ...)), 2)
  elseif count > 2 then fail("wrong number of arguments") end
  if low > high then fail("bad argument #" .. count .. " to 'random' (interval is empty)") end
  return floor(number * (high - low + 1)) + low
end

local function random_seed(number) seed(whole(number, 1)) end

return random_number, random_seed

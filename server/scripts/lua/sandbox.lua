-- The Lua code around scripts: their globals, the functions of redis, and how scripts are compiled and run.
--
-- It is run once in a new Lua state. It gets functions of the interpreter (server.scripts.interpreter), and the other
-- files of this folder as functions ("parts"). It returns the functions that the interpreter calls. A script gets none
-- of the interpreter's functions itself, only Lua functions that call them, and all globals of the Lua state are removed.
-- So a script cannot reach Python. Each run of a script has its own global table and its own libraries, so it leaves
-- nothing to the next one.
--
-- Positions in error messages are those of Redis, so error() is called with the level of the script's function.

local call_command, set_memory_limit, is_killed, sha1hex, write_log = ...
local parts, pack_float, unpack_float, redis_version, version_number, first_seed = select(6, ...)

local error, type, next, select, tostring, unpack = error, type, next, select, tostring, unpack
local rawget, rawset, setmetatable, xpcall, pcall = rawget, rawset, setmetatable, xpcall, pcall
local loadstring, setfenv = loadstring, setfenv
local getinfo, sethook, metatable_of = debug.getinfo, debug.sethook, debug.getmetatable
local find, sub, byte, format, gsub = string.find, string.sub, string.byte, string.format, string.gsub
local concat, tonumber, floor = table.concat, tonumber, math.floor
local create, resume, collectgarbage = coroutine.create, coroutine.resume, collectgarbage

local HOOK_INTERVAL = 10000  -- instructions; Redis checks less often, but a check costs little here
local READ_ONLY = "Attempt to modify a readonly table"
local KILLED = "ERR Script killed by user with SCRIPT KILL..."
local BACKING = {}  -- the key, in a metatable, of the table that a read-only table shows

local parse, to_reply, one_line = parts.resp()

local environment  -- of the script that runs
local version  -- of RESP, as redis.setresp sets it
local line  -- on which the script has last accessed a function of a library

-- Read-only tables: an empty table, whose metatable refers to the table with the contents.

local function refuse() error(READ_ONLY, 2) end
local hidden = setmetatable({}, {__newindex = refuse, __metatable = false, [BACKING] = {}})

local function read_only(contents, index)
  return {__index = index or contents, __newindex = refuse, __metatable = hidden, [BACKING] = contents}
end

local function contents_of(value)
  local metatable = type(value) == "table" and metatable_of(value)
  return metatable and rawget(metatable, BACKING)
end

-- Errors: the handler finds the script's function that has caused one, as __redis__err__handler of Redis does.

-- Returns the first function that is not one of these files, from a level on. The frame of a function that ends with
-- `return redis.call(...)` is replaced by that of redis.call. Then it is where the script has accessed redis.call.
local function place_from(level)
  local info = getinfo(level, "Sl")
  while info and (info.what == "C" or info.source == "=kvline") do
    level = level + 1
    info = getinfo(level, "Sl")
  end
  if info and info.what == "tail" then
    return {source = "@user_script", short_src = "user_script", currentline = line}
  end
  return info
end

-- Raises an error of a library, with the position of the script, as luaL_error does.
local function fail(text)
  local place = place_from(3)
  error(place and place.short_src .. ":" .. place.currentline .. ": " .. text or text, 0)
end

local function on_error(problem)
  local info = place_from(3)
  if type(problem) ~= "table" then problem = {err = "ERR " .. tostring(problem)} end
  if contents_of(problem) then problem = {} end
  if info then
    rawset(problem, "source", info.source)
    rawset(problem, "line", info.currentline)
  end
  return problem
end

local run
local is_ending  -- whether the script was killed

local on_count

local function end_script()
  is_ending = true
  sethook(on_count, "", 1)  -- otherwise pcall could catch the error, and the script go on
  error({err = KILLED}, 0)
end

function on_count()
  if is_killed() and getinfo(2, "f").func ~= run then end_script() end  -- run only cleans up
end

-- redis

local function failed(text) return {err = "ERR " .. text, ignore_error_stats_update = true} end

local function run_command(...)
  local count, args = select("#", ...), {...}
  if count == 0 then return nil, failed("Please specify at least one argument for this redis lib call") end
  for place = 1, count do
    local kind = type(args[place])
    if kind == "number" then args[place] = format("%.17g", args[place])
    elseif kind ~= "string" then
      return nil, failed("Lua redis lib command arguments must be strings or integers")
    end
  end
  local value, kind = call_command(version, unpack(args, 1, count))
  if kind == nil then
    if value == nil and version == 2 then value = false end
    return value
  elseif kind == 1 then return {ok = value}
  elseif kind == 2 then return nil, {err = value, ignore_error_stats_update = true}
  elseif kind == 3 then return (parse(value, 1))
  elseif kind == 5 then end_script() end
  error("not enough memory", 0)
end

local redis = {
  LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3,
  REPL_NONE = 0, REPL_AOF = 1, REPL_SLAVE = 2, REPL_REPLICA = 2, REPL_ALL = 3,
  REDIS_VERSION = redis_version, REDIS_VERSION_NUM = version_number,
}

function redis.call(...)
  local value, problem = run_command(...)
  if problem then error(problem, 0) end
  return value
end

function redis.pcall(...)
  local value, problem = run_command(...)
  if problem then return problem end
  return value
end

function redis.error_reply(...)
  local text = ...
  if select("#", ...) ~= 1 or type(text) ~= "string" then return failed("wrong number or type of arguments") end
  if sub(text, 1, 1) == "-" then text = sub(text, 2) end
  local code, message, blank = "ERR", text, find(text, " ", 1, true)
  if blank then code, message = sub(text, 1, blank - 1), sub(text, blank + 1) end
  return {err = code .. " " .. gsub(gsub(message, "^[\r\n]+", ""), "[\r\n]+$", "")}
end

function redis.status_reply(...)
  local text = ...
  if select("#", ...) ~= 1 or type(text) ~= "string" then return failed("wrong number or type of arguments") end
  return {ok = text}
end

function redis.sha1hex(...)
  if select("#", ...) ~= 1 then error(failed("wrong number of arguments"), 0) end
  local digest = sha1hex(tostring((...)))
  return digest or error("not enough memory", 0)
end

function redis.log(level, ...)
  if select("#", ...) < 1 then error(failed("redis.log() requires two arguments or more."), 0) end
  if type(level) ~= "number" then error(failed("First argument must be a number (log level)."), 0) end
  if level < 0 or level > 3 then error(failed("Invalid debug level."), 0) end
  local parts = {}
  for place = 1, select("#", ...) do
    local part = select(place, ...)
    if type(part) == "string" or type(part) == "number" then parts[#parts + 1] = tostring(part) end
  end
  write_log(floor(level), concat(parts, " "))
end

function redis.setresp(...)
  if select("#", ...) ~= 1 then error(failed("redis.setresp() requires one argument."), 0) end
  local wanted = tonumber((...))
  if wanted ~= 2 and wanted ~= 3 then error(failed("RESP version must be 2 or 3."), 0) end
  version = wanted
end

function redis.set_repl(...)
  if select("#", ...) ~= 1 then error(failed("redis.set_repl() requires one argument."), 0) end
  local flags = tonumber((...))
  if not flags or flags < 0 or flags > 3 then
    error(failed("Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE."), 0)
  end
end

function redis.replicate_commands() return true end

-- What scripts see.

local function copy(names, source)
  local copied = {}
  for name in string.gmatch(names, "%S+") do copied[name] = source[name] end
  return copied
end

local base = copy("_VERSION assert error gcinfo getmetatable ipairs rawequal rawget select tonumber tostring type "
  .. "unpack", _G)
local loaded = {
  string = copy("byte char dump find format gfind gmatch gsub len lower match rep reverse sub upper", string),
  table = copy("concat foreach foreachi getn insert maxn remove setn sort", table),
  math = copy("abs acos asin atan atan2 ceil cos cosh deg exp floor fmod frexp huge ldexp log log10 max min mod modf "
    .. "pi pow rad sin sinh sqrt tan tanh", math),
  coroutine = copy("resume running status yield", coroutine),
  redis = redis,
}
for name, library in next, parts.libraries(parts, pack_float, unpack_float, fail) do loaded[name] = library end
loaded.math.random, loaded.math.randomseed = parts.random(first_seed, fail)

local function check_table(name, ...)
  if type((...)) ~= "table" then
    local found = select("#", ...) == 0 and "no value" or type((...))
    fail("bad argument #1 to '" .. name .. "' (table expected, got " .. found .. ")")
  end
end

function base.rawset(...)
  check_table("rawset", ...)
  if contents_of((...)) then error(READ_ONLY, 0) end
  return rawset(...)
end

function base.setmetatable(...)
  check_table("setmetatable", ...)
  if contents_of((...)) then error(READ_ONLY, 0) end
  return setmetatable(...)
end

function base.next(target, ...) return next(contents_of(target) or target, ...) end

function base.pairs(...)
  check_table("pairs", ...)
  local target = ...
  local contents = contents_of(target)
  if contents then return function(_, key) return next(contents, key) end, target end
  return next, target
end

-- As luaRedisPcall of Redis: an error that is a table becomes its text.
local function with_text(ok, problem, ...)
  if not ok and type(problem) == "table" then
    local text = problem.err
    if type(text) == "string" or type(text) == "number" then return false, text end
  end
  return ok, problem, ...
end

function base.pcall(...) return with_text(pcall(...)) end

-- No hook is called while a hook is running, nor in the handler of an error that it raises.
function base.xpcall(body, handler)
  return xpcall(body, function(problem)
    if is_ending then return problem end
    return handler(problem)
  end)
end

function base.collectgarbage(option, ...)  -- without what changes the collector for later scripts
  if option == nil or option == "collect" or option == "count" or option == "step" then
    return collectgarbage(option, ...)
  end
  return 0
end

local function load_text(text, name)
  if byte(text, 1) == 27 then return nil, "precompiled code is not allowed" end
  local chunk, problem = loadstring(text, name)
  if chunk then setfenv(chunk, environment) end
  return chunk, problem
end

function base.loadstring(text, name)
  if type(text) ~= "string" then error("bad argument #1 to 'loadstring' (string expected)", 2) end
  return load_text(text, name or text)
end

function base.load(reader, name)
  local pieces = {}
  while true do
    local piece = reader()
    if piece == nil or piece == "" then break end
    if type(piece) ~= "string" then return nil, "reader function must return a string" end
    pieces[#pieces + 1] = piece
  end
  return load_text(concat(pieces), name or "=(load)")
end

-- A hook counts the instructions of one coroutine, so each gets its own.
function loaded.coroutine.create(body)
  local thread = create(body)
  sethook(thread, on_count, "", HOOK_INTERVAL)
  return thread
end

local function pass_on(ok, ...)
  local problem = ...
  if not ok and type(problem) == "string" then fail(problem) end
  if not ok then error(problem, 0) end
  return ...
end

function loaded.coroutine.wrap(body)
  local thread = loaded.coroutine.create(body)
  return function(...) return pass_on(resume(thread, ...)) end
end

local written_here = {redis = true, bit = true, cjson = true, cmsgpack = true, struct = true, math = true}
local library_metatables = {}
for name, library in next, loaded do
  library_metatables[name] = read_only(library, written_here[name] and function(_, key)
    line = getinfo(2, "l").currentline
    return library[key]
  end)
end

local strings = metatable_of("")
strings.__index = loaded.string
strings.__metatable = setmetatable({}, read_only({__index = setmetatable({}, library_metatables.string)}))

local no_such_global = {__index = function(_, name)
  error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
end}

local function new_environment(keys, argv)
  local globals = {KEYS = keys, ARGV = argv}
  for name, value in next, base do globals[name] = value end
  for name, metatable in next, library_metatables do globals[name] = setmetatable({}, metatable) end
  environment = setmetatable({}, read_only(setmetatable(globals, no_such_global)))
  globals._G = environment
end

-- The functions that the interpreter calls.

local script
local arguments = {}

local function run_script() return to_reply((script()), version) end

local function add_arguments(...)
  local count = #arguments
  for place = 1, select("#", ...) do arguments[count + place] = (select(place, ...)) end
end

function run(compiled, key_count)
  local keys, argv = {}, {}
  for place = 1, #arguments do
    if place <= key_count then keys[place] = arguments[place] else argv[place - key_count] = arguments[place] end
  end
  arguments = {}
  new_environment(keys, argv)
  script, version, line, is_ending = setfenv(compiled, environment), 2, 1, false
  set_memory_limit(true)
  sethook(on_count, "", HOOK_INTERVAL)
  local ok, value, kind = xpcall(run_script, on_error)
  sethook()
  set_memory_limit(false)
  environment, script = nil, nil
  if ok then return kind, value end
  if type(value) ~= "table" then return "failure", tostring(value) end
  local text = rawget(value, "err")
  if type(text) ~= "string" and type(text) ~= "number" then text = "ERR unknown error" end
  local source, place = rawget(value, "source"), rawget(value, "line")
  return "error", one_line(tostring(text)), type(source) == "string" and source, type(place) == "number" and place
end

local function compile(text, is_bytecode)
  if not is_bytecode and byte(text, 1) == 27 then return nil, "precompiled code is not allowed" end
  set_memory_limit(true)
  local ok, compiled, problem = pcall(loadstring, text, "@user_script")
  set_memory_limit(false)
  if ok then return compiled, problem end
  return nil, compiled
end

local modules = package.loaded
for name in next, modules do modules[name] = nil end
local globals = _G
for name in next, globals do globals[name] = nil end
return run, add_arguments, compile

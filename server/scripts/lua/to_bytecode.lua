-- Returns a function that compiles a script and returns its bytecode, or nil and the text of the error.

local loadstring, dump = loadstring, string.dump
return function(text)
  if text:byte(1) == 27 then return nil, "precompiled code is not allowed" end
  local compiled, problem = loadstring(text, "@user_script")
  if not compiled then return nil, problem end
  return dump(compiled), nil
end

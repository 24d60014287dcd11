-- Errors through pcall and error (setjmp and longjmp underneath), coroutines, string operations, metatables, closures,
-- string.format of floats, table.sort with a callback, a little garbage.
local size = tonumber(arg[1]) or 300
local digest = 0
local function note(value)
  for i = 1, #value do digest = (digest * 31 + value:byte(i)) % 4294967296 end
end

local Vector = {}
Vector.__index = Vector
Vector.__add = function(a, b) return setmetatable({ x = a.x + b.x, y = a.y + b.y }, Vector) end
Vector.__tostring = function(v) return string.format("(%.3f, %.3f)", v.x, v.y) end
Vector.__eq = function(a, b) return a.x == b.x and a.y == b.y end

local function risky(n)
  if n % 7 == 0 then error({ code = n }) end
  if n % 5 == 0 then error("five divides " .. n, 0) end
  if n % 11 == 0 then return nil + n end
  return n
end

local function errors(count)
  local caught, sum = 0, 0
  for n = 1, count do
    local ok, result = pcall(risky, n)
    if ok then
      sum = sum + result
    else
      caught = caught + 1
      if type(result) == "table" then sum = sum - result.code else note(tostring(result):gsub("^.-:%d+: ", "")) end
    end
    local nested = select(2, pcall(function()
      local inner_ok, inner = pcall(error, "inner " .. n)
      assert(not inner_ok)
      error("outer of " .. tostring(inner), 0)
    end))
    note(nested)
  end
  return caught, sum
end

local function permutations(items, n)
  n = n or #items
  if n <= 1 then
    coroutine.yield(items)
  else
    for i = 1, n do
      items[n], items[i] = items[i], items[n]
      permutations(items, n - 1)
      items[n], items[i] = items[i], items[n]
    end
  end
end

local function coroutines(count)
  local words, seen = { "fire", "bird", "sun", "ash", "egg" }, 0
  for _ = 1, count do
    local producer = coroutine.wrap(function() permutations({ 1, 2, 3, 4, 5 }) end)
    for order in producer do
      seen = seen + 1
      local line = {}
      for i, index in ipairs(order) do line[i] = words[index] end
      note(table.concat(line, "-"))
    end
  end
  local failing = coroutine.create(function() coroutine.yield(1) error("inside a coroutine", 0) end)
  coroutine.resume(failing)
  local ok, message = coroutine.resume(failing)
  return seen, ok, message
end

local function strings(count)
  local text = ("The vermilion bird rises from the south; "):rep(8)
  local frequency = {}
  for round = 1, count do
    for word in text:gmatch("%a+") do
      local key = word:lower():reverse():gsub("[aeiou]", function(v) return v:upper() end)
      frequency[key] = (frequency[key] or 0) + round
    end
    text = text:sub(2) .. text:sub(1, 1)
    if round % 50 == 0 then note(string.format("%q %5.2f %x", text:sub(1, 12), round / 3, round * 77)) end
  end
  local keys = {}
  for key in pairs(frequency) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b)
    if frequency[a] ~= frequency[b] then return frequency[a] > frequency[b] end
    return a < b
  end)
  return table.concat(keys, " ", 1, 5)
end

local function vectors(count)
  local sum = setmetatable({ x = 0, y = 0 }, Vector)
  for i = 1, count do sum = sum + setmetatable({ x = math.sin(i), y = math.cos(i) / i }, Vector) end
  return tostring(sum)
end

local file = assert(io.open("/data/lua-output.txt", "w"))
for round = 1, 4 do
  local caught, sum = errors(size)
  print(round, "errors", caught, sum)
  print(round, "coroutines", coroutines(size // 60 + 1))
  print(round, "strings", strings(size))
  print(round, "vectors", vectors(size * 20))
  file:write(string.format("%d %08x\n", round, digest))
end
file:close()
print(string.format("digest %08x", digest))
os.exit(digest % 50 == 0 and 1 or 9)

-- Ordinary work for an interpreter, without errors or coroutines: calls, tables, floats, strings, closures.
-- Usage: kernels.lua TURNS. Prints one line for each kernel.
local turns = tonumber(arg[1])

local function fibonacci(n)
  if n < 2 then return n end
  return fibonacci(n - 1) + fibonacci(n - 2)
end

local function fannkuch(n)
  local p, q, s, sign, most, sum = {}, {}, {}, 1, 0, 0
  for i = 1, n do p[i], q[i], s[i] = i, i, i end
  while true do
    local first = p[1]
    if first ~= 1 then
      for i = 2, n do q[i] = p[i] end
      local flips = 1
      while true do
        local next = q[first]
        if next == 1 then
          sum = sum + sign * flips
          if flips > most then most = flips end
          break
        end
        q[first] = first
        if first >= 4 then
          local i, j = 2, first - 1
          repeat
            q[i], q[j] = q[j], q[i]
            i, j = i + 1, j - 1
          until i >= j
        end
        first, flips = next, flips + 1
      end
    end
    if sign == 1 then
      p[1], p[2], sign = p[2], p[1], -1
    else
      p[2], p[3], sign = p[3], p[2], 1
      for i = 3, n do
        local left = s[i]
        if left ~= 1 then
          s[i] = left - 1
          break
        end
        if i == n then return sum, most end
        s[i] = i
        local moved = p[1]
        for j = 1, i do p[j] = p[j + 1] end
        p[i + 1] = moved
      end
    end
  end
end

local function spectralNorm(n)
  local function times(x, transposed)
    local y = {}
    for i = 1, n do
      local sum = 0
      for j = 1, n do
        local a, b = i - 1, j - 1
        if transposed then a, b = b, a end
        sum = sum + x[j] / ((a + b) * (a + b + 1) / 2 + a + 1)
      end
      y[i] = sum
    end
    return y
  end
  local u, v = {}, nil
  for i = 1, n do u[i] = 1 end
  for _ = 1, 4 do
    v = times(times(u, false), true)
    u = times(times(v, false), true)
  end
  local uv, vv = 0, 0
  for i = 1, n do uv, vv = uv + u[i] * v[i], vv + v[i] * v[i] end
  return math.sqrt(uv / vv)
end

local function tree(depth)
  if depth == 0 then return {} end
  return { tree(depth - 1), tree(depth - 1) }
end

local function count(node)
  if not node[1] then return 1 end
  return 1 + count(node[1]) + count(node[2])
end

local function words(n)
  local seen, parts = {}, {}
  for i = 1, n do
    local word = string.format("w%d", (i * 7919) % 1009)
    seen[word] = (seen[word] or 0) + 1
    if seen[word] % 3 == 0 then parts[#parts + 1] = word:upper():reverse() end
  end
  return #table.concat(parts, ","), #(table.concat(parts):gsub("W%d", ""))
end

local function closures(n)
  local list, sum = {}, 0
  for i = 1, n do list[i] = function(x) return x * i end end
  table.sort(list, function(a, b) return a(1) * 7919 % 1009 < b(1) * 7919 % 1009 end)
  for i = 1, n do sum = sum + list[i](i) end
  return sum
end

local results = {}
for _ = 1, turns do
  results = {
    fibonacci(20), string.format("%d %d", fannkuch(7)), string.format("%.9f", spectralNorm(40)),
    count(tree(10)), string.format("%d %d", words(4000)), closures(400),
  }
end
for _, result in ipairs(results) do print(result) end

-- The well-known small contests of languages, written anew: benchmark-game.lua <name> <size>
local games = {}

games["binary-trees"] = function(depth)
  local function make(d)
    if d == 0 then return {} end
    return { make(d - 1), make(d - 1) }
  end
  local function count(tree)
    if not tree[1] then return 1 end
    return 1 + count(tree[1]) + count(tree[2])
  end
  local long_lived, total = make(depth), 0
  for d = 4, depth, 4 do
    for _ = 1, 1 << (depth - d + 4) do total = total + count(make(d)) end
  end
  return total + count(long_lived)
end

local function fannkuch(n)
  local order, counts, best, sum, sign = {}, {}, 0, 0, 1
  for i = 1, n do order[i], counts[i] = i, i end
  while true do
    local first = order[1]
    if first ~= 1 then
      local copy, flips = table.move(order, 1, n, 1, {}), 0
      while first ~= 1 do
        local i, j = 1, first
        while i < j do
          copy[i], copy[j] = copy[j], copy[i]
          i, j = i + 1, j - 1
        end
        flips, first = flips + 1, copy[1]
      end
      sum = sum + sign * flips
      if flips > best then best = flips end
    end
    if sign == 1 then
      order[1], order[2], sign = order[2], order[1], -1
    else
      order[2], order[3], sign = order[3], order[2], 1
      local i = 3
      while counts[i] == 1 do
        if i == n then return sum .. " " .. best end
        counts[i] = i
        local moved = table.remove(order, 1)
        i = i + 1
        table.insert(order, i, moved)
      end
      counts[i] = counts[i] - 1
    end
  end
end

games["fannkuch"] = function(n)
  local result
  for _ = 1, n > 8 and 3 or 1 do result = fannkuch(n) end -- 9 is too short for a long run, 10 far too long
  return result
end

games["n-body"] = function(steps)
  local bodies = {}
  for i = 1, 5 do
    bodies[i] = { x = i * 3.1, y = i * -1.7, z = i * 0.3, vx = 0.1 / i, vy = 0.2 / i, vz = 0.01 * i, mass = 40 / i ^ 4 }
  end
  for _ = 1, steps do
    for i = 1, 5 do
      local a = bodies[i]
      for j = i + 1, 5 do
        local b = bodies[j]
        local dx, dy, dz = a.x - b.x, a.y - b.y, a.z - b.z
        local square = dx * dx + dy * dy + dz * dz
        local pull = 0.001 / (square * math.sqrt(square))
        a.vx, a.vy, a.vz = a.vx - dx * b.mass * pull, a.vy - dy * b.mass * pull, a.vz - dz * b.mass * pull
        b.vx, b.vy, b.vz = b.vx + dx * a.mass * pull, b.vy + dy * a.mass * pull, b.vz + dz * a.mass * pull
      end
    end
    for i = 1, 5 do
      local a = bodies[i]
      a.x, a.y, a.z = a.x + 0.001 * a.vx, a.y + 0.001 * a.vy, a.z + 0.001 * a.vz
    end
  end
  return string.format("%.9f", bodies[1].x)
end

games["spectral-norm"] = function(n)
  local function times(from, transposed)
    local to = {}
    for i = 0, n - 1 do
      local sum = 0
      for j = 0, n - 1 do
        local row, column = i, j
        if transposed then row, column = j, i end
        sum = sum + from[j + 1] / ((row + column) * (row + column + 1) / 2 + row + 1)
      end
      to[i + 1] = sum
    end
    return to
  end
  local u, v = {}, nil
  for i = 1, n do u[i] = 1 end
  for _ = 1, 5 do
    v = times(times(u, false), true)
    u = times(times(v, false), true)
  end
  local above, below = 0, 0
  for i = 1, n do above, below = above + u[i] * v[i], below + v[i] * v[i] end
  return string.format("%.9f", math.sqrt(above / below))
end

games["k-nucleotide"] = function(length)
  local letters, seed = {}, 42
  for i = 1, length do
    seed = (seed * 3877 + 29573) % 139968
    letters[i] = ("ACGT"):sub(seed % 4 + 1, seed % 4 + 1)
  end
  local chain, counts, digest = table.concat(letters), {}, 0
  for size = 1, 6 do
    for i = 1, length - size + 1 do
      local part = chain:sub(i, i + size - 1)
      counts[part] = (counts[part] or 0) + 1
    end
  end
  for part, count in pairs(counts) do digest = digest + #part * count end
  return digest .. " " .. (counts["ACGT"] or 0)
end

print(arg[1], games[arg[1]](tonumber(arg[2])))

"""A Frame that runs our app on real Lua, of the version that its firmware has.

Reads one JSON object: `writes` (list of hex, in order), `photo` and `sound` (hex): what the camera and the microphone
give. After each write the app runs for three seconds of a clock of its own; after the last one the Frame is tapped.
Writes what the Frame does, one line each: `write` before what follows from a write, `notified <hex>`,
`shown <x> <y> <hex>`. What the functions of Lua do is taken from the firmware (`lua_libraries/*.c`).
"""

import json
import sys

import lupa.lua54

FIRMWARE = r"""
local out, files, photo, sound = ...
local clock, callback, on_tap, hears, header, data, footer = 0, nil, nil, false, '', '', ''
local LONGEST = 243

function print(...)
  local words = table.pack(...)
  for i = 1, words.n do words[i] = tostring(words[i]) end
  out('notified', table.concat(words, '\t'))
end

function require(name)
  local source = files[name .. '.lua']
  if source == nil then error('cannot open file: ' .. name .. '.lua') end
  return assert(load(source, name))()
end

local function cut(text, bytes) return text:sub(1, bytes), text:sub(bytes + 1) end

frame = {
  sleep = function(seconds)
    clock = clock + seconds
    coroutine.yield()
  end,
  battery_level = function() return 87.5 end,
  time = { utc = function() return clock end },
  file = {
    open = function(name, mode)
      assert(mode == 'w')
      files[name] = ''
      return {
        write = function(_, text) files[name] = files[name] .. text end,
        close = function() end,
      }
    end,
  },
  bluetooth = {
    max_length = function() return LONGEST end,
    send = function(bytes)
      assert(#bytes <= LONGEST, 'string length is greater than max_length()')
      out('notified', '\1' .. bytes)
    end,
    receive_callback = function(f) callback = f end,
  },
  imu = {
    tap_callback = function(f) on_tap = f end,
    raw = function()
      return { compass = { x = 1.0, y = 2.0, z = 3.0 }, accelerometer = { x = 4096.0, y = -4096.0, z = 2048.0 } }
    end,
  },
  camera = {
    auto = function() end,
    capture = function(settings)
      assert(settings.resolution % 2 == 0 and settings.resolution >= 100 and settings.resolution <= 720)
      assert(({ VERY_LOW = 1, LOW = 1, MEDIUM = 1, HIGH = 1, VERY_HIGH = 1 })[settings.quality])
      assert(settings.pan >= -140 and settings.pan <= 140)
      header, data = cut(photo, 623)
      data, footer = cut(data, #data - 2)
    end,
    image_ready = function() return true end,
    read = function(bytes)
      local part
      if header ~= '' then
        part, header = cut(header, bytes)
      elseif data ~= '' then
        part, data = cut(data, bytes)
      elseif footer ~= '' then
        part, footer = cut(footer, bytes)
      end
      return part
    end,
  },
  microphone = {
    start = function(settings)
      assert(not hears, 'already started')
      assert(settings.sample_rate == 8000 or settings.sample_rate == 16000)
      assert(settings.bit_depth == 8 or settings.bit_depth == 16)
      hears = true
    end,
    stop = function() hears = false end,
    read = function(bytes)
      assert(bytes <= 512 and bytes % 2 == 0)
      if sound == '' then return hears and '' or nil end
      local part
      part, sound = cut(sound, bytes)
      return part
    end,
  },
  display = {
    text = function(text, x, y, options)
      assert(options.spacing == 4)
      out('shown', text, x, y)
    end,
    show = function() end,
  },
}

local running

-- What is written to the Frame, by its first byte.
function write(bytes)
  local first = bytes:byte(1)
  if first == 3 then
    if running then out('notified', 'break signal') end
    running = nil
  elseif first == 1 then
    if running and callback then callback(bytes:sub(2)) end
  elseif not running then
    running = coroutine.create(assert(load(bytes)))
  end
end

function run(seconds)
  local stop = clock + seconds
  while running and clock < stop do
    local ok, problem = coroutine.resume(running)
    if not ok then out('notified', tostring(problem)) end
    if not ok or coroutine.status(running) == 'dead' then running = nil end
  end
end

function tap() if on_tap then on_tap() end end
"""


def out(what, text, *where):
    print(what, *where, text.encode("latin-1").hex())


def main():
    wanted = json.load(sys.stdin)
    photo, sound = (bytes.fromhex(wanted[name]).decode("latin-1") for name in ("photo", "sound"))
    files, lua = None, None
    writes = [bytes.fromhex(write).decode("latin-1") for write in wanted["writes"]]
    for number, write in enumerate(writes):
        if lua is None or write == "\x04":
            lua = lupa.lua54.LuaRuntime(encoding="latin-1")
            files = files or {}
            table = lua.table_from(files)
            lua.execute("function boot(source, ...) return load(source, 'firmware')(...) end")
            lua.globals().boot(FIRMWARE, out, table, photo, sound)
        print("write")
        if write != "\x04":
            lua.globals().write(write)
        lua.globals().run(3)
        if number + 1 == len(writes):
            lua.globals().tap()
            lua.globals().run(1)
        files = dict(table)


main()

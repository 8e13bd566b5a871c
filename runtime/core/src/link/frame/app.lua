-- What glassd runs on Brilliant's Frame. It speaks the messages of frame_msg; see mod.rs beside it.
-- MIT licence, like the rest of glassd. Comments and indentation are left out when it is sent.

-- To the Frame.
local TEXT, CAPTURE, MICROPHONE = 0x0a, 0x0d, 0x30
-- From the Frame.
local AUDIO, AUDIO_END, PHOTO, PHOTO_END, TAP, IMU, BATTERY = 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0c

local QUALITY = { 'VERY_LOW', 'LOW', 'MEDIUM', 'HIGH', 'VERY_HIGH' }
local LINE_HEIGHT = 60
-- One byte of a packet is its code; the microphone gives even numbers of bytes only.
local PHOTO_BYTES = frame.bluetooth.max_length() - 1
local AUDIO_BYTES = PHOTO_BYTES - PHOTO_BYTES % 2
local EXPOSURE_EVERY, IMU_EVERY, BATTERY_EVERY = 0.1, 1, 60

-- Tries for two seconds, as the queue of the radio has one place. Then the link is gone: the app ends, and
-- the host starts it anew.
local function send(data)
  local give_up = frame.time.utc() + 2
  repeat
    if pcall(frame.bluetooth.send, data) then return end
  until frame.time.utc() > give_up
  error('cannot send')
end

-- Messages that are whole, and those whose chunks still come, by code.
local inbox, arriving = {}, {}

local function receive(data)
  local code = data:byte(1)
  local message = arriving[code]
  if message then
    message.text = message.text .. data:sub(2)
  else
    message = { size = data:byte(2) << 8 | data:byte(3), text = data:sub(4) }
  end
  arriving[code] = message
  if #message.text >= message.size then
    arriving[code], inbox[code] = nil, message.text
  end
end

frame.bluetooth.receive_callback(function(data)
  if pcall(receive, data) then send('\0') else send('\1') end
end)

-- The callback may interrupt a send: it only counts.
local taps = 0
frame.imu.tap_callback(function() taps = taps + 1 end)

local function show(message)
  local x, y, palette, spacing = string.unpack('>I2I2BB', message)
  for line in (message:sub(7) .. '\n'):gmatch('(.-)\n') do
    if line ~= '' then frame.display.text(line, x, y, { spacing = spacing }) end
    y = y + LINE_HEIGHT
  end
  frame.display.show()
end

local photo = 'none'

local function capture(message)
  local quality, half, pan = string.unpack('>BI2I2', message)
  frame.camera.capture { resolution = half * 2, quality = QUALITY[quality + 1], pan = pan - 140 }
  photo = 'taken'
end

-- Sends at most one packet, so that audio need not wait for a photo.
local function send_photo()
  if photo == 'taken' and frame.camera.image_ready() then photo = 'sent' end
  if photo ~= 'sent' then return end
  local data = frame.camera.read(PHOTO_BYTES)
  if data then
    send(string.char(PHOTO) .. data)
  else
    photo = 'none'
    send(string.char(PHOTO_END))
  end
end

local function expose()
  if photo == 'none' then frame.camera.auto {} end
end

local hears = false

local function microphone(message)
  local rate, depth = string.unpack('>I2B', message)
  if hears then frame.microphone.stop() end
  if rate > 0 then
    frame.microphone.start { sample_rate = rate, bit_depth = depth }
    hears = true
  end
end

local function send_audio()
  if not hears then return end
  local data = frame.microphone.read(AUDIO_BYTES)
  if data == nil then
    hears = false
    send(string.char(AUDIO_END))
  elseif data ~= '' then
    send(string.char(AUDIO) .. data)
  end
end

local function send_imu()
  local raw = frame.imu.raw()
  local c, a = raw.compass, raw.accelerometer
  send(string.pack('<Bxhhhhhh', IMU, c.x, c.y, c.z, a.x, a.y, a.z))
end

local function send_battery()
  send(string.char(BATTERY, math.floor(frame.battery_level())))
end

local handlers = { [TEXT] = show, [CAPTURE] = capture, [MICROPHONE] = microphone }
local due = {
  { every = EXPOSURE_EVERY, at = 0, run = expose },
  { every = IMU_EVERY, at = 0, run = send_imu },
  { every = BATTERY_EVERY, at = 0, run = send_battery },
}

print('glassd 1')
while true do
  for code, handle in pairs(handlers) do
    local message = inbox[code]
    if message then
      inbox[code] = nil
      handle(message)
    end
  end
  while taps > 0 do
    taps = taps - 1
    send(string.char(TAP))
  end
  send_photo()
  send_audio()
  local now = frame.time.utc()
  for _, task in ipairs(due) do
    if now >= task.at then
      task.at = now + task.every
      task.run()
    end
  end
  frame.sleep(0.001)
end

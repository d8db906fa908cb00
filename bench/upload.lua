-- A request with a body of 1 MB in chunks. The first argument is the size of a chunk in bytes.
local SIZE = 1000000
local chunked

function init(args)
  local size = tonumber(args[1])
  local full = string.format("%x\r\n%s\r\n", size, string.rep("x", size))
  local rest = SIZE % size
  local last = rest > 0 and string.format("%x\r\n%s\r\n", rest, string.rep("x", rest)) or ""
  chunked = "POST " .. wrk.path .. " HTTP/1.1\r\nHost: " .. wrk.host .. "\r\nTransfer-Encoding: chunked\r\n\r\n"
    .. string.rep(full, math.floor(SIZE / size)) .. last .. "0\r\n\r\n"
end

function request()
  return chunked
end

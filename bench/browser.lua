-- The request of a browser: always the same, or each time with a new target and cookie ("distinct"), or each time that
-- of another browser as well ("visitors").
-- A path that ends with a slash gets a new last part, any other one a new query.
-- The third argument is another cookie, or "script" for a client that is no browser and keeps no cookies.
local number = 0
local distinct = false
local visitors = false
local agent = ""
local more = ""

function init(args)
  local headers = wrk.headers
  headers["Cache-Control"] = "max-age=0"
  headers["Upgrade-Insecure-Requests"] = "1"
  headers["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
  headers["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
  headers["Sec-Fetch-Site"] = "same-origin"
  headers["Sec-Fetch-Mode"] = "navigate"
  headers["Accept-Encoding"] = "gzip, deflate, br"
  headers["Accept-Language"] = "en-US,en;q=0.9"
  headers["Cookie"] = "session=6b1f0c2d9a8e7f6054433221100ffeed; theme=dark"
  if args[3] == "script" then
    for name in pairs(headers) do
      if name ~= "Host" then
        headers[name] = nil
      end
    end
    headers["User-Agent"] = "script/1.0"
    headers["Accept"] = "*/*"
  elseif args[3] then
    more = "; " .. args[3]
    headers["Cookie"] = headers["Cookie"] .. more
  end
  headers["Connection"] = args[1] == "close" and "close" or "keep-alive"
  distinct = args[2] ~= "same"
  visitors = args[2] == "visitors"
  agent = headers["User-Agent"]
  fixed = wrk.format("GET")
end

function request()
  if not distinct then
    return fixed
  end
  number = number + 1
  wrk.headers["Cookie"] = "session=" .. number .. "6b1f0c2d9a8e7f60; theme=dark" .. more
  if visitors then
    wrk.headers["User-Agent"] = agent .. " " .. number
  end
  local new = wrk.path:sub(-1) == "/" and number or "?n=" .. number
  return wrk.format("GET", wrk.path .. new)
end

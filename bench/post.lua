-- wrk script: POST one record of wrk's first argument (bytes; 1024 if absent) per request.
-- wrk -s post.lua -c 64 -t 1 http://127.0.0.1:9000/log/bench -- 1024
function init(args)
  local size = tonumber(args[1]) or 1024
  -- No run of equal bytes, so that a record that was cut or shifted differs.
  local text = {}
  for i = 1, size do text[i] = string.char(33 + (i * 7) % 94) end
  wrk.method = "POST"
  wrk.body = table.concat(text)
end

-- One line for programs, in fixed order; latencies in microseconds.
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d %.1f %.1f %.1f %.1f\n", summary.requests,
    summary.duration, e.connect + e.read + e.write, e.status, e.timeout, latency:percentile(50),
    latency:percentile(99), latency:percentile(99.9), latency.mean))
end

-- Set wrk's request, and print its results as JSON in the last line: `wrk -s wrk.lua URL -- METHOD [BODY]`.

function init(arguments)
   wrk.method = arguments[1]
   wrk.body = arguments[2]
end

function done(summary, latency)
   local errors = summary.errors
   local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
   local form = '\n{"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "failed": %d}\n'
   -- wrk's times are in microseconds. Latencies are printed in milliseconds.
   local p50, p99 = latency:percentile(50) / 1e3, latency:percentile(99) / 1e3
   io.write(string.format(form, summary.requests, summary.duration / 1e6, p50, p99, failed))
end

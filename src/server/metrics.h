// The server's counters and gauges, as Prometheus reads them. Observing is thread-safe and cheap; engine
// gauges are read when asked for, so every number is live.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "http/server.h"
#include "server/served_model.h"

namespace prometheus {
class Histogram;
}

namespace mlxd {

/// Where a model's requests are measured; pointers live as long as the Metrics.
struct ModelMetrics {
  prometheus::Histogram* time_to_first_token = nullptr;
  prometheus::Histogram* inter_token = nullptr;
};

class Metrics {
 public:
  Metrics();
  ~Metrics();

  void observe_request(const http::RequestRecord& record);
  ModelMetrics for_model(const std::string& model);
  static void observe(prometheus::Histogram* histogram, double seconds);

  /// The page of /metrics (text format 0.0.4). Models are asked for their engines' statistics.
  std::string render(const std::vector<ServedModelPtr>& models, std::size_t open_connections) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Bytes of this process in memory; 0 where the system does not tell.
struct ProcessMemory {
  std::size_t resident_bytes = 0;
  std::size_t anonymous_bytes = 0;    // its own: heap, weights, K/V
  std::size_t mapped_file_bytes = 0;  // of files, which the system may drop
  std::size_t locked_bytes = 0;
};
ProcessMemory process_memory();

}  // namespace mlxd

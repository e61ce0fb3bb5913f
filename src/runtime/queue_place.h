// Where a request stands in its model's waiting line. A value.
#pragma once

#include <cstdint>

namespace mlxd {

struct QueuePlace {
  std::int32_t position = 0;      // 0: next
  double expected_seconds = 0.0;  // until it starts, as things stand
};

}  // namespace mlxd

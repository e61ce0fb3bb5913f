#include "generation/cache_report.h"

namespace mlxd {

std::string_view to_string(CacheOutcome outcome) {
  switch (outcome) {
    case CacheOutcome::kNothingCached:
      return "nothing_cached";
    case CacheOutcome::kDiverged:
      return "diverged";
    case CacheOutcome::kEnded:
      return "cached_part_ended";
    case CacheOutcome::kWhole:
      return "whole_prompt_cached";
    case CacheOutcome::kNotUsed:
      return "not_used";
  }
  return "nothing_cached";
}

}  // namespace mlxd

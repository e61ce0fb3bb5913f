#include "runtime/kv_plan.h"

#include <algorithm>
#include <string>

#include "engine/page_pool.h"

namespace mlxd {
namespace {

std::string mebibytes(std::size_t bytes) { return std::to_string((bytes + (1U << 19U)) >> 20U) + " MiB"; }

Error too_little(std::int64_t tokens, std::size_t needed, const std::string& have, std::size_t bytes) {
  return {ErrorKind::kOutOfMemory, "K/V of " + std::to_string(tokens) + " tokens needs " + mebibytes(needed) +
                                       ", " + have + " is " + mebibytes(bytes) +
                                       ": ask for a shorter context or give the model more memory"};
}

// The most pages that cost no more.
std::int32_t most_pages(const KvCost& cost, std::size_t bytes) {
  std::int32_t least = 0;
  std::int32_t most = std::int32_t{1} << 26U;  // of 32 tokens: more than any memory holds
  while (least < most) {
    const std::int32_t middle = least + (most - least + 1) / 2;
    if (cost(middle) <= bytes)
      least = middle;
    else
      most = middle - 1;
  }
  return least;
}

}  // namespace

KvBounds bound_kv(const KvWish& wish, const KvCost& cost, std::size_t share_bytes,
                  std::size_t available_bytes) {
  std::int64_t context = wish.context_tokens;
  if (context == 0) {
    const auto hold = [&cost](std::size_t bytes) {
      return std::int64_t{most_pages(cost, bytes)} * kPageTokens;
    };
    context = std::min<std::int64_t>(wish.model_context_tokens, std::max(kUsualKvTokens, hold(share_bytes)));
    if (cost(pages_for_tokens(context)) > available_bytes)
      context = std::max<std::int64_t>(1, std::min(context, hold(available_bytes)));
  }
  const std::int64_t most = context * std::max(wish.max_running, 1);
  return {.context_tokens = static_cast<std::int32_t>(context),
          .least_bytes = cost(pages_for_tokens(context)),
          .usual_bytes = cost(pages_for_tokens(std::clamp(kUsualKvTokens, context, most))),
          .most_bytes = cost(pages_for_tokens(most))};
}

Result<KvPlan> plan_kv(const KvWish& wish, const KvCost& cost, std::size_t available_bytes) {
  if (wish.context_tokens < 0 || wish.context_tokens > wish.model_context_tokens)
    return invalid_argument("context is " + std::to_string(wish.context_tokens) + " tokens, the model has " +
                                std::to_string(wish.model_context_tokens) + ": ask for at most that",
                            "context");
  const std::int64_t context = wish.context_tokens > 0 ? wish.context_tokens : wish.model_context_tokens;
  // What must be held at the least: the context asked for, or one page of the model's own.
  const std::int64_t least_tokens = wish.context_tokens > 0 ? context : 1;
  const std::size_t least_bytes = cost(pages_for_tokens(least_tokens));

  std::size_t bytes = wish.kv_bytes;
  if (bytes > 0) {
    if (least_bytes > bytes) return too_little(least_tokens, least_bytes, "the memory given to it", bytes);
  } else {
    const std::size_t most_bytes = available_bytes / 4 * 3;
    if (least_bytes > most_bytes)
      return too_little(least_tokens, least_bytes, "three quarters of the free memory", most_bytes);
    const std::int64_t useful_tokens = context * std::max(wish.max_running, 1);
    const std::int64_t tokens = std::min(std::max(kUsualKvTokens, least_tokens), useful_tokens);
    const std::size_t wanted_bytes = cost(pages_for_tokens(tokens));
    bytes = std::max(least_bytes, std::min(wanted_bytes, available_bytes / 4));
  }
  KvPlan plan;
  plan.num_pages = most_pages(cost, bytes);
  plan.kv_bytes = bytes;
  plan.context_tokens =
      static_cast<std::int32_t>(std::min(context, std::int64_t{plan.num_pages} * kPageTokens));
  return plan;
}

}  // namespace mlxd

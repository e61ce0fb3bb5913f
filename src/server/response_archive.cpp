#include "server/response_archive.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace mlxd {
namespace {

constexpr std::size_t kMaxChainBytes = std::size_t{64} << 20U;
constexpr std::chrono::hours kSweepInterval{1};
constexpr std::int64_t kSecondsPerDay = 24 * 3600;

}  // namespace

ResponseOwner response_owner(const Caller& caller) {
  ResponseOwner owner;
  if (caller.user != nullptr) owner.user_id = caller.user->id;
  if (caller.key != nullptr) owner.key_id = caller.key->id;
  return owner;
}

void ResponseArchive::keep(StoredResponse response) {
  {
    const MutexLock lock(mutex_);
    pending_.push_back(std::make_shared<const StoredResponse>(std::move(response)));
    if (std::exchange(queued_, true)) return;
  }
  if (options_.workers->try_post([this] { flush(); })) return;
  // The next one tries again, and the end of the server.
  const MutexLock lock(mutex_);
  queued_ = false;
}

void ResponseArchive::flush() {
  std::vector<Pending> batch;
  {
    const MutexLock lock(mutex_);
    while (writing_) written_.wait(mutex_);
    writing_ = true;
    queued_ = false;
    batch = pending_;
  }
  std::vector<StoredResponse> rows;
  for (const Pending& each : batch) rows.push_back(*each);
  if (!rows.empty()) {
    if (const auto added = store_.add(rows); !added.ok())
      log::error("{} responses could not be kept: {}", rows.size(), added.error().message);
  }
  sweep();
  const MutexLock lock(mutex_);
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(batch.size()));
  writing_ = false;
  written_.notify_all();
}

void ResponseArchive::sweep() {
  const TimePoint now = options_.clock->now();
  {
    const MutexLock lock(mutex_);
    if (swept_ && now - *swept_ < kSweepInterval) return;
    swept_ = now;
  }
  const auto removed =
      store_.remove_before(options_.clock->wall_seconds() - options_.retention_days() * kSecondsPerDay);
  if (!removed.ok())
    log::error("old responses could not be removed: {}", removed.error().message);
  else if (*removed > 0)
    log::info("removed {} responses that were kept long enough", *removed);
}

Result<StoredResponse> ResponseArchive::find(const ResponseOwner& owner, std::string_view id) {
  StoredResponse response = TRY(look_up(owner, id));
  if (response.created_at < options_.clock->wall_seconds() - options_.retention_days() * kSecondsPerDay)
    return not_found("the response '" + response.id + "' is no longer kept");
  return response;
}

Result<StoredResponse> ResponseArchive::look_up(const ResponseOwner& owner, std::string_view id) {
  {
    const MutexLock lock(mutex_);
    for (const Pending& each : pending_) {
      if (each->id == id && each->owner == owner) return *each;
    }
  }
  return store_.find(owner, id);
}

Result<void> ResponseArchive::remove(const ResponseOwner& owner, std::string_view id) {
  flush();
  return store_.remove(owner, id);
}

Result<std::vector<StoredResponse>> ResponseArchive::chain(const ResponseOwner& owner, std::string_view id) {
  std::vector<StoredResponse> found;
  std::optional<std::string> next{std::string(id)};
  std::size_t bytes = 0;
  while (next) {
    auto response = found.empty() ? find(owner, *next) : look_up(owner, *next);
    if (!response.ok()) {
      if (found.empty() || response.error().kind != ErrorKind::kNotFound) return response.take_error();
      return not_found("'" + found.back().id + "' builds on the response '" + *next +
                       "', which is no longer kept");
    }
    bytes += response->input_json.size() + response->response_json.size();
    if (bytes > kMaxChainBytes)
      return Error(ErrorKind::kTooLarge,
                   "the responses before '" + std::string(id.substr(0, 100)) +
                       "' have more than 64 MiB: begin a new conversation",
                   "previous_response_id");
    next = response->previous_id;
    found.push_back(response.take_value());
  }
  std::reverse(found.begin(), found.end());
  return found;
}

}  // namespace mlxd

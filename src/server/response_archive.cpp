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

void ResponseArchive::keep(std::string id, ResponseOwner owner, std::function<StoredResponse()> write) {
  {
    const MutexLock lock(mutex_);
    pending_.push_back(
        std::make_shared<const Unwritten>(Unwritten{std::move(id), std::move(owner), std::move(write)}));
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
  std::int64_t bytes = 0;
  for (const Pending& each : batch) {
    rows.push_back(each->write());
    bytes += rows.back().bytes();
  }
  if (!rows.empty()) {
    if (const auto added = store_.add(rows); !added.ok())
      log::error("{} responses could not be kept: {}", rows.size(), added.error().message);
  }
  sweep();
  keep_to_limit(bytes);
  const MutexLock lock(mutex_);
  pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(batch.size()));
  writing_ = false;
  written_.notify_all();
}

void ResponseArchive::keep_to_limit(std::int64_t added_bytes) {
  // Down to somewhat less, as removing looks at all of them.
  constexpr std::int64_t kRoom = 20;
  const std::int64_t most = options_.most_bytes();
  if (stored_bytes_ >= 0) stored_bytes_ += added_bytes;
  if (stored_bytes_ >= 0 && stored_bytes_ <= most) return;
  const auto count = [this] {
    const auto total = store_.total_bytes();
    stored_bytes_ = total.ok() ? *total : -1;
    return total.ok() ? Result<void>() : Result<void>(total.error());
  };
  Result<void> done = count();
  if (done.ok() && stored_bytes_ > most) {
    const auto removed = store_.remove_beyond(most - most / kRoom);
    if (removed.ok()) log::info("removed the {} oldest responses: {} bytes are kept", *removed, most);
    done = removed.ok() ? count() : Result<void>(removed.error());
  }
  if (!done.ok()) log::error("old responses could not be removed: {}", done.error().message);
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
  Pending unwritten;
  {
    const MutexLock lock(mutex_);
    const auto found = std::find_if(pending_.begin(), pending_.end(), [&](const Pending& each) {
      return each->id == id && each->owner == owner;
    });
    if (found != pending_.end()) unwritten = *found;
  }
  return unwritten != nullptr ? unwritten->write() : store_.find(owner, id);
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

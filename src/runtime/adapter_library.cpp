#include "runtime/adapter_library.h"

#include <exception>
#include <new>
#include <utility>

#include "base/log.h"
#include "model/adapter.h"

namespace mlxd {
namespace {

std::string mebibytes(std::size_t bytes) { return std::to_string((bytes + (1U << 19U)) >> 20U) + " MiB"; }

}  // namespace

AdapterLeasePtr AdapterLibrary::find_loaded(const std::string& name) {
  const MutexLock lock(mutex_);
  const auto found = entries_.find(name);
  if (found == entries_.end()) return nullptr;
  found->second.last_used = ++now_;
  return found->second.lease;
}

Result<void> AdapterLibrary::check_known(const std::string& name) const {
  TRY(options_.places.find(options_.model_folder, name));
  return {};
}

Result<AdapterLeasePtr> AdapterLibrary::acquire(const std::string& name) {
  {
    const MutexLock lock(mutex_);
    while (is_loading_) loaded_.wait(mutex_);
    if (const auto found = entries_.find(name); found != entries_.end()) {
      found->second.last_used = ++now_;
      return found->second.lease;
    }
    is_loading_ = true;
  }
  Result<AdapterLeasePtr> lease = [&]() -> Result<AdapterLeasePtr> {
    try {
      return load(name);
    } catch (const std::bad_alloc&) {
      return Error(ErrorKind::kOutOfMemory, "the system has too little memory to load adapter " + name);
    } catch (const std::exception& failure) {
      return Error(ErrorKind::kInternal, "loading adapter " + name + " failed: " + failure.what());
    }
  }();
  const MutexLock lock(mutex_);
  is_loading_ = false;
  loaded_.notify_all();
  return lease;
}

Result<AdapterLeasePtr> AdapterLibrary::load(const std::string& name) {
  const std::filesystem::path folder = TRY(options_.places.find(options_.model_folder, name));
  PreparedAdapterPtr prepared;
  {
    const Adapter adapter = TRY(Adapter::open(folder, *options_.spec));
    prepared = TRY(options_.engine->prepare_adapter(adapter));
  }
  const std::size_t bytes = prepared->memory_bytes();
  TRY(make_room(name, bytes));
  auto lease = std::make_shared<AdapterLease>();
  lease->name = name;
  {
    const MutexLock lock(mutex_);
    lease->id = next_id_++;
  }
  TRY(options_.engine->attach_adapter(lease->id, std::move(prepared)));
  if (options_.balance_memory) {
    if (auto balanced = options_.balance_memory(); !balanced.ok()) {
      TRY(options_.engine->detach_adapter(lease->id));
      return balanced.take_error();
    }
  }
  log::info("{}: loaded adapter {} of {}", options_.model_folder.filename().string(), name, mebibytes(bytes));
  const MutexLock lock(mutex_);
  entries_[name] = {lease, bytes, ++now_};
  return AdapterLeasePtr(lease);
}

Result<void> AdapterLibrary::make_room(const std::string& name, std::size_t bytes) {
  if (bytes > options_.most_bytes) {
    return Error(ErrorKind::kOutOfMemory, "adapter " + name + " takes " + mebibytes(bytes) +
                                              ", loaded adapters may take " + mebibytes(options_.most_bytes) +
                                              " together: allow more with adapter-memory");
  }
  for (;;) {
    std::size_t taken = 0;
    std::size_t count = 0;
    {
      const MutexLock lock(mutex_);
      for (const auto& [other, entry] : entries_) taken += entry.bytes;
      count = entries_.size();
    }
    if (taken + bytes <= options_.most_bytes && count < options_.most_adapters) return {};
    const AdapterId id = take_idle();
    if (id == kNoAdapter) {
      return Error(ErrorKind::kOverloaded,
                   "the " + std::to_string(count) +
                       " loaded adapters are all in use and leave no room for adapter " + name +
                       ": try again later");
    }
    TRY(options_.engine->detach_adapter(id));
  }
}

AdapterId AdapterLibrary::take_idle() {
  const MutexLock lock(mutex_);
  auto oldest = entries_.end();
  for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
    // New holders come by this lock only.
    if (entry->second.lease.use_count() > 1) continue;
    if (oldest == entries_.end() || entry->second.last_used < oldest->second.last_used) oldest = entry;
  }
  if (oldest == entries_.end()) return kNoAdapter;
  const AdapterId id = oldest->second.lease->id;
  log::info("{}: unloading adapter {}", options_.model_folder.filename().string(), oldest->first);
  entries_.erase(oldest);
  return id;
}

std::vector<std::string> AdapterLibrary::list() const {
  std::vector<std::string> names;
  for (AdapterPlaces::Found& found : options_.places.list(options_.model_folder)) {
    if (Adapter::check(found.folder, *options_.spec).ok()) names.push_back(std::move(found.name));
  }
  return names;
}

std::size_t AdapterLibrary::num_loaded() const {
  const MutexLock lock(mutex_);
  return entries_.size();
}

}  // namespace mlxd

// Names that stand for models: profiles first, then aliases. A request's model is looked up here before the
// models themselves are. In memory; thread-safe. What changes something writes to the database: not for I/O
// threads.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "base/result.h"
#include "store/profile_store.h"

namespace mlxd {

class ModelNames {
 public:
  /// Errors: of the database.
  static Result<std::unique_ptr<ModelNames>> open(ProfileStore store, const Clock& clock);

  struct Meaning {
    std::string model;                            // to be asked for instead
    std::shared_ptr<const Profile> profile = {};  // whose defaults apply; null: none's
  };
  /// What `name` stands for, MODEL+ADAPTER included; itself if it is no profile and no alias. Of a profile of
  /// a profile only the first one's defaults apply.
  Meaning resolve(std::string_view name) const;

  bool empty() const;
  /// Every name, and the model it is another name for.
  std::vector<std::pair<std::string, std::string>> all() const;
  std::vector<Profile> profiles() const;
  std::vector<Alias> aliases() const;
  /// By id or name. Errors: kNotFound.
  Result<Profile> profile(std::string_view id_or_name) const;

  /// Sets id and times. Errors: kInvalidArgument (the name), kConflict.
  Result<Profile> create(Profile profile);
  Result<Profile> replace(Profile profile);
  Result<void> remove(std::string_view id);
  Result<void> set_alias(const Alias& alias);
  Result<void> remove_alias(std::string_view name);

 private:
  struct IgnoringCase {
    using is_transparent = void;
    bool operator()(std::string_view a, std::string_view b) const;
  };
  struct Directory {
    std::vector<std::shared_ptr<const Profile>> profiles;
    std::map<std::string, std::shared_ptr<const Profile>, IgnoringCase> by_name;
    std::map<std::string, std::string, IgnoringCase> aliases;
    std::uint64_t serial = 0;
  };
  ModelNames(ProfileStore store, const Clock& clock) : store_(store), clock_(clock) {}
  Result<void> refresh();
  std::shared_ptr<const Directory> directory() const;

  ProfileStore store_;
  const Clock& clock_;
  mutable Mutex mutex_;
  std::shared_ptr<const Directory> directory_ GUARDED_BY(mutex_);
  std::uint64_t next_serial_ GUARDED_BY(mutex_) = 1;
};

}  // namespace mlxd

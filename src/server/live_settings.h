// The settings while the server runs: what holds, what was stored since, and which changes wait for the next
// start. Secrets go through here too, sealed. Thread-safe; what changes something writes to the database: not
// for I/O threads.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/mutex.h"
#include "security/secret_box.h"
#include "settings/settings.h"
#include "store/setting_store.h"

namespace mlxd {

class LiveSettings {
 public:
  using SettingsPtr = std::shared_ptr<const Settings>;

  /// `places` without what is stored, which is read here. Errors: of the database; a stored value that is not
  /// allowed.
  static Result<std::unique_ptr<LiveSettings>> open(SettingPlaces places, SettingStore store,
                                                    const SecretBox& box, const Clock& clock);

  /// What holds now.
  SettingsPtr now() const;
  /// What held at the start; settings that only then take effect have these values.
  const Settings& at_start() const { return *at_start_; }
  const SettingPlaces& places() const { return places_; }

  /// Called after each change, on the changer's thread, in the order in which they were added; that is before
  /// there are several threads.
  void on_change(std::function<void(const Settings& before, const Settings& now)> listener) {
    listeners_.push_back(std::move(listener));
  }

  /// Stores each value (text as in config.toml), or forgets it where there is none; all or none. Errors:
  /// kNotFound (no such setting, with the nearest), kInvalidArgument (the value), of the database.
  Result<void> change(const std::map<std::string, std::optional<std::string>>& changes);

  /// Errors: kCorruptData if it cannot be unsealed.
  Result<std::optional<std::string>> secret(std::string_view name);
  Result<bool> has_secret(std::string_view name);

 private:
  LiveSettings(SettingPlaces places, SettingStore store, const SecretBox& box, const Clock& clock)
      : places_(std::move(places)), store_(store), box_(box), clock_(clock) {}
  Result<SettingsPtr> resolve();

  const SettingPlaces places_;
  SettingStore store_;
  const SecretBox& box_;
  const Clock& clock_;
  std::vector<std::function<void(const Settings&, const Settings&)>> listeners_;
  SettingsPtr at_start_;
  Mutex changing_;  // one change after the other, listeners included
  mutable Mutex mutex_;
  SettingsPtr now_ GUARDED_BY(mutex_);
};

}  // namespace mlxd

#include "server/live_settings.h"

#include <utility>

#include "server/stored_settings.h"

namespace mlxd {

Result<std::unique_ptr<LiveSettings>> LiveSettings::open(SettingPlaces places, SettingStore store,
                                                         const SecretBox& box, const Clock& clock) {
  auto settings = std::unique_ptr<LiveSettings>(new LiveSettings(std::move(places), store, box, clock));
  settings->at_start_ = TRY(settings->resolve());
  const MutexLock lock(settings->mutex_);
  settings->now_ = settings->at_start_;
  return settings;
}

Result<LiveSettings::SettingsPtr> LiveSettings::resolve() {
  SettingPlaces places = places_;
  places.stored = TRY(read_stored_settings(store_));
  return std::make_shared<const Settings>(TRY(Settings::resolve(places)));
}

LiveSettings::SettingsPtr LiveSettings::now() const {
  const MutexLock lock(mutex_);
  return now_;
}

Result<void> LiveSettings::change(const std::map<std::string, std::optional<std::string>>& changes) {
  std::map<std::string, std::optional<std::string>> plain;
  std::map<std::string, std::optional<std::string>> secrets;
  for (const auto& [name, text] : changes) {
    const SettingInfo* info = find_setting(name);
    if (info == nullptr) return unknown_setting(name);
    if (text) {
      Settings::Value value{.values = stored_values(*info, *text)};
      if (const auto checked = check_setting(*info, value); !checked.ok())
        return Error(checked.error().kind, name + ": " + checked.error().message, name);
      if (info->kind == SettingKind::kSecret && text->empty())
        return invalid_argument(name + " is empty: unset it to forget the stored one", name);
    }
    (info->kind == SettingKind::kSecret ? secrets : plain).emplace(name, text);
  }
  const MutexLock changing(changing_);
  if (!plain.empty()) TRY(store_.change(plain, clock_.wall_seconds()));
  for (const auto& [name, text] : secrets) {
    if (text)
      TRY(store_.set_secret(name, box_.seal(*text), clock_.wall_seconds()));
    else
      TRY(store_.remove_secret(name));
  }
  SettingsPtr fresh = TRY(resolve());
  SettingsPtr before;
  {
    const MutexLock lock(mutex_);
    before = std::exchange(now_, fresh);
  }
  for (const auto& listener : listeners_) listener(*before, *fresh);
  return {};
}

Result<std::optional<std::string>> LiveSettings::secret(std::string_view name) {
  const std::optional<std::string> sealed = TRY(store_.secret(name));
  if (!sealed) return std::optional<std::string>();
  return std::optional<std::string>(TRY(box_.unseal(*sealed)));
}

Result<bool> LiveSettings::has_secret(std::string_view name) { return TRY(store_.secret(name)).has_value(); }

}  // namespace mlxd

#include "server/model_names.h"

#include <algorithm>
#include <utility>

#include "base/ascii.h"
#include "security/token.h"

namespace mlxd {
namespace {

constexpr int kLongestChain = 8;

// A name that requests, URLs and tables can carry.
Result<void> check_name(const std::string& name) {
  const bool sound = !name.empty() && name.size() <= 128 && name.front() != ' ' && name.back() != ' ' &&
                     std::none_of(name.begin(), name.end(), [](char c) {
                       return static_cast<unsigned char>(c) < 0x20 || c == 0x7F || c == '+';
                     });
  if (sound) return {};
  return invalid_argument(
      "'" + name.substr(0, 100) +
          "' is no name for a profile or an alias: it has 1 to 128 bytes, no '+' and no control characters",
      "name");
}

}  // namespace

bool ModelNames::IgnoringCase::operator()(std::string_view a, std::string_view b) const {
  return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(),
                                      [](char x, char y) { return to_lower(x) < to_lower(y); });
}

Result<std::unique_ptr<ModelNames>> ModelNames::open(ProfileStore store, const Clock& clock) {
  auto names = std::unique_ptr<ModelNames>(new ModelNames(store, clock));
  TRY(names->refresh());
  return names;
}

// A reader that began later has seen more, and is not replaced by one that began before it.
Result<void> ModelNames::refresh() {
  auto fresh = std::make_shared<Directory>();
  {
    const MutexLock lock(mutex_);
    fresh->serial = next_serial_++;
  }
  std::vector<Profile> profiles = TRY(store_.list());
  const std::vector<Alias> aliases = TRY(store_.aliases());
  for (Profile& profile : profiles) {
    auto shared = std::make_shared<const Profile>(std::move(profile));
    fresh->by_name.emplace(shared->name, shared);
    fresh->profiles.push_back(std::move(shared));
  }
  for (const Alias& alias : aliases) fresh->aliases.emplace(alias.name, alias.model);
  const MutexLock lock(mutex_);
  if (directory_ == nullptr || directory_->serial < fresh->serial) directory_ = std::move(fresh);
  return {};
}

std::shared_ptr<const ModelNames::Directory> ModelNames::directory() const {
  const MutexLock lock(mutex_);
  return directory_;
}

ModelNames::Meaning ModelNames::resolve(std::string_view name) const {
  const auto all = directory();
  Meaning meaning{.model = std::string(name)};
  if (all->by_name.empty() && all->aliases.empty()) return meaning;
  // As Ollama's clients complete a name that has no tag.
  constexpr std::string_view kLatest = ":latest";
  if (name.ends_with(kLatest) && !all->by_name.contains(name) && !all->aliases.contains(name)) {
    const std::string_view base = name.substr(0, name.size() - kLatest.size());
    if (all->by_name.contains(base) || all->aliases.contains(base)) meaning.model = std::string(base);
  }
  // The part before the last '+' may be a name of ours, which has none itself.
  std::string adapter;
  for (int step = 0; step < kLongestChain; ++step) {
    std::string base = meaning.model;
    std::string own_adapter;
    if (!all->by_name.contains(base) && !all->aliases.contains(base)) {
      const std::size_t plus = base.find('+');
      if (plus == std::string::npos) break;
      own_adapter = base.substr(plus);
      base.resize(plus);
    }
    if (const auto profile = all->by_name.find(base); profile != all->by_name.end()) {
      if (meaning.profile == nullptr) meaning.profile = profile->second;
      meaning.model = profile->second->model;
    } else if (const auto alias = all->aliases.find(base); alias != all->aliases.end()) {
      meaning.model = alias->second;
    } else {
      break;
    }
    if (adapter.empty()) adapter = own_adapter;
  }
  // The adapter that was asked for, not the one of the profile.
  if (!adapter.empty()) {
    const std::size_t plus = meaning.model.find('+');
    meaning.model = meaning.model.substr(0, plus) + adapter;
  }
  return meaning;
}

bool ModelNames::empty() const {
  const auto known = directory();
  return known->by_name.empty() && known->aliases.empty();
}

std::vector<std::pair<std::string, std::string>> ModelNames::all() const {
  const auto known = directory();
  std::vector<std::pair<std::string, std::string>> names;
  for (const auto& [name, profile] : known->by_name) names.emplace_back(name, resolve(name).model);
  for (const auto& [name, model] : known->aliases) names.emplace_back(name, resolve(name).model);
  return names;
}

std::vector<Profile> ModelNames::profiles() const {
  std::vector<Profile> list;
  const auto known = directory();
  for (const auto& profile : known->profiles) list.push_back(*profile);
  return list;
}

std::vector<Alias> ModelNames::aliases() const {
  std::vector<Alias> list;
  const auto known = directory();
  for (const auto& [name, model] : known->aliases) list.push_back({name, model});
  return list;
}

Result<Profile> ModelNames::profile(std::string_view id_or_name) const {
  const auto all = directory();
  for (const auto& profile : all->profiles)
    if (profile->id == id_or_name) return *profile;
  if (const auto found = all->by_name.find(id_or_name); found != all->by_name.end()) return *found->second;
  return not_found("there is no profile '" + std::string(id_or_name.substr(0, 100)) + "'");
}

Result<Profile> ModelNames::create(Profile profile) {
  TRY(check_name(profile.name));
  profile.id = "profile_" + random_token(9);
  profile.created_at = profile.changed_at = clock_.wall_seconds();
  TRY(store_.create(profile));
  TRY(refresh());
  return profile;
}

Result<Profile> ModelNames::replace(Profile profile) {
  TRY(check_name(profile.name));
  profile.changed_at = clock_.wall_seconds();
  TRY(store_.replace(profile));
  TRY(refresh());
  return profile;
}

Result<void> ModelNames::remove(std::string_view id) {
  if (!TRY(store_.remove(id)))
    return not_found("there is no profile '" + std::string(id.substr(0, 100)) + "'");
  return refresh();
}

Result<void> ModelNames::set_alias(const Alias& alias) {
  TRY(check_name(alias.name));
  if (alias.model.empty())
    return invalid_argument("model is empty: say which one the alias stands for", "model");
  TRY(store_.set_alias(alias, clock_.wall_seconds()));
  return refresh();
}

Result<void> ModelNames::remove_alias(std::string_view name) {
  if (!TRY(store_.remove_alias(name)))
    return not_found("there is no alias '" + std::string(name.substr(0, 100)) + "'");
  return refresh();
}

}  // namespace mlxd

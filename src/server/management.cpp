#include "server/management.h"

#include <utility>

#include "base/log.h"
#include "server/account_routes.h"
#include "server/chat_routes.h"
#include "server/profile_routes.h"
#include "server/setting_routes.h"
#include "server/stored_settings.h"

namespace mlxd {
namespace {

AccountPolicy policy_of(const Settings& settings) {
  return {.registration = settings.registration(), .session_seconds = settings.session_days() * 24 * 3600};
}

}  // namespace

Result<std::unique_ptr<Management>> Management::open(Options options) {
  auto management = std::unique_ptr<Management>(new Management(std::move(options)));
  const Options& given = management->options_;
  const std::filesystem::path& folder = given.state_folder;
  const bool in_memory = folder.empty();
  if (!in_memory) management->lock_ = TRY(StateLock::take(folder));
  management->database_ =
      TRY(Database::open({.file = in_memory ? std::filesystem::path() : database_file(folder)}));
  management->box_ = in_memory ? SecretBox::in_memory() : TRY(SecretBox::open(folder / "secret.key"));
  Database& database = *management->database_;
  management->settings_ =
      TRY(LiveSettings::open(given.places, SettingStore(database), *management->box_, *given.clock));
  management->meter_ = std::make_unique<KeyMeter>(*given.clock);
  const LiveSettings* settings = management->settings_.get();
  management->accounts_ =
      TRY(Accounts::open({.database = &database,
                          .clock = given.clock,
                          .meter = management->meter_.get(),
                          .loopback = given.loopback,
                          .setup_token_file = in_memory ? std::filesystem::path() : folder / "setup.token",
                          .owner_token = given.owner_token,
                          .policy = [settings] { return policy_of(*settings->now()); }}));
  management->names_ = TRY(ModelNames::open(ProfileStore(database), *given.clock));
  return management;
}

Management::~Management() {
  if (accounts_ == nullptr) return;
  if (const auto saved = accounts_->save_usage(); !saved.ok())
    log::error("what API keys used last is not stored: {}", saved.error().message);
}

void Management::add_routes(ManageRoutes& routes) {
  add_auth_routes(routes, *accounts_);
  add_user_routes(routes, *accounts_);
  add_key_routes(routes, *accounts_);
  add_profile_routes(routes, *names_);
  add_setting_routes(routes, *settings_, SettingStore(*database_), *box_, *options_.clock);
  add_chat_routes(routes, ChatStore(*database_), *options_.clock);
}

}  // namespace mlxd

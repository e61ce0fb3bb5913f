// What the server remembers and whom it lets in, under one owner: database, secrets, settings, accounts,
// keys' meter, names of models; and their routes. Thread rule: opened and destroyed by the owner; what it
// gives out says its own.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/result.h"
#include "security/secret_box.h"
#include "server/accounts.h"
#include "server/key_meter.h"
#include "server/live_settings.h"
#include "server/manage_routes.h"
#include "server/model_names.h"
#include "server/state_lock.h"
#include "store/database.h"

namespace mlxd {

class Management {
 public:
  struct Options {
    /// Has mlxd.db, secret.key and setup.token; empty: everything is in memory and ends with this.
    std::filesystem::path state_folder = {};
    SettingPlaces places = {};     // without what is stored
    bool loopback = true;          // the server listens to this machine only
    std::string owner_token = {};  // for the command line of the same user; empty: none
    const Clock* clock = &Clock::real();
  };
  /// Errors: kConflict (another process uses the state folder); of the database, the key's file and the
  /// settings.
  static Result<std::unique_ptr<Management>> open(Options options);
  /// Saves what keys have used.
  ~Management();

  Database& database() { return *database_; }
  Accounts& accounts() { return *accounts_; }
  KeyMeter& meter() { return *meter_; }
  LiveSettings& settings() { return *settings_; }
  ModelNames& names() { return *names_; }
  const std::filesystem::path& state_folder() const { return options_.state_folder; }
  const Clock& clock() const { return *options_.clock; }

  /// All routes of management but /api/v1/system.
  void add_routes(ManageRoutes& routes);

 private:
  explicit Management(Options options) : options_(std::move(options)) {}

  const Options options_;
  StateLock lock_;  // to the end
  std::unique_ptr<Database> database_;
  std::unique_ptr<SecretBox> box_;
  std::unique_ptr<LiveSettings> settings_;
  std::unique_ptr<KeyMeter> meter_;
  std::unique_ptr<Accounts> accounts_;
  std::unique_ptr<ModelNames> names_;
};

}  // namespace mlxd

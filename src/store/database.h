// The program's memory: one SQLite file, mlxd.db in the state folder, mode 0600. One owner (Management) opens
// it; stores, one for each concern, read and write through it.
//
// WAL with synchronous=FULL: a commit is on the disk before it is answered, so neither kill -9 nor a power
// cut loses a committed row; writes are few enough here that the wait is not felt. Another process (the
// command line while no server runs) may have it open too: writers wait for each other up to the busy
// time-out.
//
// Thread rule: any thread may call, but not an I/O thread: a commit waits for the disk. Calls take turns
// under one lock; what a body runs under it is only its store's own statements.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include "base/mutex.h"
#include "base/result.h"
#include "store/migrations.h"

namespace SQLite {
class Database;
class Exception;
}  // namespace SQLite

namespace mlxd {

class Sql;

class Database {
 public:
  struct Options {
    std::filesystem::path file;  // empty: in memory, gone with the object
    std::chrono::milliseconds busy_timeout{5000};
    std::span<const Migration> migrations = all_migrations();
  };

  /// Opens or makes the database, checks it and brings it to today's schema; before it changes an older one
  /// it leaves a copy at FILE.backup-vN. Errors: kCorruptData (damaged: names the file, the newest backup and
  /// what to do), kUnsupported (written by a newer program: names both versions), kUnavailable (another
  /// process keeps it locked), kIo.
  static Result<std::unique_ptr<Database>> open(Options options);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  /// Runs `body`, a function (Sql&) → Result<T>, in one transaction, which is committed if the result is ok
  /// and rolled back otherwise. Further errors: kIo (disk full: nothing was changed), kUnavailable (locked),
  /// kCorruptData, kInternal.
  template <typename Body>
  std::invoke_result_t<Body, Sql&> write(Body&& body) {
    return transact(true, std::forward<Body>(body));
  }
  /// The same for statements that only read: they see one state.
  template <typename Body>
  std::invoke_result_t<Body, Sql&> read(Body&& body) {
    return transact(false, std::forward<Body>(body));
  }

  /// Grows with each committed write of this object. What is read after asking has all that was counted.
  std::uint64_t num_writes() const { return num_writes_; }

  const std::filesystem::path& file() const { return file_; }

 private:
  explicit Database(std::filesystem::path file);

  template <typename Body>
  std::invoke_result_t<Body, Sql&> transact(bool writes, Body&& body) {
    std::optional<std::invoke_result_t<Body, Sql&>> result;
    const auto done = run(writes, [&](Sql& sql) {
      result.emplace(body(sql));
      return result->ok();
    });
    if (!done.ok()) return done.error();
    return std::move(*result);
  }
  /// `body` says whether to commit.
  Result<void> run(bool writes, const std::function<bool(Sql&)>& body) EXCLUDES(mutex_);
  Result<void> prepare(const Options& options);
  Result<void> check_intact() const REQUIRES(mutex_);
  Result<void> migrate(std::span<const Migration> migrations) REQUIRES(mutex_);
  Result<void> back_up(int version) const REQUIRES(mutex_);
  Error describe(const SQLite::Exception& failure) const;
  Error damaged(std::string detail) const;

  const std::filesystem::path file_;
  mutable Mutex mutex_;
  std::unique_ptr<SQLite::Database> connection_ GUARDED_BY(mutex_);
  std::atomic<std::uint64_t> num_writes_{0};
};

}  // namespace mlxd

#include "store/database.h"

#include <SQLiteCpp/Column.h>
#include <SQLiteCpp/Database.h>
#include <SQLiteCpp/Exception.h>
#include <SQLiteCpp/Statement.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <exception>
#include <new>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "store/sql.h"

namespace mlxd {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kBackupMark = ".backup-v";

// Makes `file` if absent, for its owner only; SQLite gives its journals the same mode.
Result<void> ensure_private_file(const fs::path& file) {
  const int descriptor = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0) return io_error("cannot open the database " + file.string(), errno);
  const int failure = ::fchmod(descriptor, 0600) == 0 ? 0 : errno;
  ::close(descriptor);
  if (failure != 0) return io_error("cannot protect the database " + file.string(), failure);
  return {};
}

// The backup of the highest version beside `file`, or an empty path.
fs::path newest_backup(const fs::path& file) {
  const std::string prefix = file.filename().string() + std::string(kBackupMark);
  fs::path newest;
  int newest_version = -1;
  std::error_code code;
  for (auto entry = fs::directory_iterator(file.parent_path(), code);
       !code && entry != fs::directory_iterator(); entry.increment(code)) {
    const std::string name = entry->path().filename().string();
    if (!name.starts_with(prefix)) continue;
    int version = -1;
    const char* end = name.data() + name.size();
    const auto parsed = std::from_chars(name.data() + prefix.size(), end, version);
    if (parsed.ec != std::errc() || parsed.ptr != end || version <= newest_version) continue;
    newest_version = version;
    newest = entry->path();
  }
  return newest;
}

// SQLite calls some writes that find no room a failure of the disk.
bool is_disk_full(const fs::path& file) {
  constexpr std::uintmax_t kLittle = 256 * 1024;
  std::error_code code;
  const fs::space_info space = fs::space(file.parent_path(), code);
  return !code && space.available < kLittle;
}

Error no_room(const std::string& database) {
  return {ErrorKind::kIo,
          "there is no room for " + database + ": free some space on its disk; nothing was changed"};
}

// Rolls back unless dismissed.
class Rollback {
 public:
  explicit Rollback(SQLite::Database& database) : database_(&database) {}
  ~Rollback() {
    // A full disk may have rolled back already.
    if (database_ != nullptr && sqlite3_get_autocommit(database_->getHandle()) == 0)
      database_->tryExec("ROLLBACK");
  }
  Rollback(const Rollback&) = delete;
  Rollback& operator=(const Rollback&) = delete;
  void dismiss() { database_ = nullptr; }

 private:
  SQLite::Database* database_;
};

}  // namespace

Result<std::unique_ptr<Database>> Database::open(Options options) {
  auto database = std::unique_ptr<Database>(new Database(options.file));
  TRY(database->prepare(options));
  return database;
}

Database::Database(fs::path file) : file_(std::move(file)) {}
Database::~Database() = default;

Result<void> Database::prepare(const Options& options) {
  const bool in_memory = file_.empty();
  if (!in_memory) TRY(ensure_private_file(file_));
  const MutexLock lock(mutex_);
  try {
    connection_ = std::make_unique<SQLite::Database>(in_memory ? std::string(":memory:") : file_.string(),
                                                     SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE,
                                                     static_cast<int>(options.busy_timeout.count()));
    TRY(check_intact());
    connection_->exec("PRAGMA journal_mode = WAL");
    connection_->exec("PRAGMA synchronous = FULL");
    connection_->exec("PRAGMA foreign_keys = ON");
    return migrate(options.migrations);
  } catch (const SQLite::Exception& failure) {
    return describe(failure);
  } catch (const std::exception& failure) {
    return Error(ErrorKind::kInternal, "cannot open the database " + file_.string() + ": " + failure.what());
  }
}

Result<void> Database::check_intact() const {
  SQLite::Statement check(*connection_, "PRAGMA quick_check(1)");
  const std::string verdict = check.executeStep() ? check.getColumn(0).getString() : std::string("no answer");
  if (verdict != "ok") return damaged(verdict);
  return {};
}

Result<void> Database::migrate(std::span<const Migration> migrations) {
  SQLite::Database& connection = *connection_;
  const int version = connection.execAndGet("PRAGMA user_version").getInt();
  const int newest = migrations.empty() ? 0 : migrations.back().number;
  if (version > newest)
    return Error(
        ErrorKind::kUnsupported,
        "the database " + file_.string() + " has version " + std::to_string(version) +
            ", this program knows versions up to " + std::to_string(newest) +
            (migrations.empty() ? "" : " (" + std::string(migrations.back().name) + ")") +
            ": it was written by a newer mlxd; start that one, or give this one another state folder "
            "with --home");
  // Read before the lock that writing takes: another process may have migrated meanwhile, which the
  // transactions below see.
  const bool fresh = version == 0;
  bool backed_up = fresh || file_.empty();
  for (const Migration& migration : migrations) {
    const auto is_applied = [&] {
      if (connection.execAndGet("SELECT COUNT(*) FROM sqlite_master WHERE name = 'schema_migrations'")
              .getInt() == 0)
        return false;
      SQLite::Statement found(connection, "SELECT 1 FROM schema_migrations WHERE number = ?");
      found.bind(1, migration.number);
      return found.executeStep();
    };
    if (is_applied()) continue;
    if (!backed_up) TRY(back_up(version));
    backed_up = true;
    connection.exec("BEGIN IMMEDIATE");
    Rollback rollback(connection);
    if (is_applied()) continue;
    connection.exec(
        "CREATE TABLE IF NOT EXISTS schema_migrations ("
        "number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL)");
    connection.exec(migration.sql);
    SQLite::Statement note(
        connection, "INSERT INTO schema_migrations VALUES (?, ?, CAST(strftime('%s', 'now') AS INTEGER))");
    note.bind(1, migration.number);
    note.bind(2, std::string(migration.name));
    note.exec();
    connection.exec("PRAGMA user_version = " + std::to_string(std::max(version, migration.number)));
    connection.exec("COMMIT");
    rollback.dismiss();
  }
  return {};
}

// Written beside and renamed, so that what bears the name is whole.
Result<void> Database::back_up(int version) const {
  const fs::path target = file_.string() + std::string(kBackupMark) + std::to_string(version);
  const fs::path fresh = target.string() + ".part";
  std::error_code code;
  fs::remove(fresh, code);
  TRY(ensure_private_file(fresh));
  SQLite::Statement copy(*connection_, "VACUUM INTO ?");
  copy.bind(1, fresh.string());
  copy.exec();
  fs::rename(fresh, target, code);
  if (code) return io_error("cannot write the backup " + target.string(), code.value());
  return {};
}

Result<void> Database::run(bool writes, const std::function<bool(Sql&)>& body) {
  const MutexLock lock(mutex_);
  try {
    connection_->exec(writes ? "BEGIN IMMEDIATE" : "BEGIN");
    Rollback rollback(*connection_);
    Sql sql(*connection_);
    if (!body(sql)) return {};
    connection_->exec("COMMIT");
    rollback.dismiss();
    if (writes) ++num_writes_;
    return {};
  } catch (const SQLite::Exception& failure) {
    return describe(failure);
  } catch (const std::bad_alloc&) {
    return Error(ErrorKind::kOutOfMemory, "the system has too little memory for a query of the database");
  } catch (const std::exception& failure) {
    return Error(ErrorKind::kInternal, std::string("a query of the database failed: ") + failure.what());
  }
}

Error Database::describe(const SQLite::Exception& failure) const {
  const std::string file = "the database " + (file_.empty() ? std::string("in memory") : file_.string());
  const std::string detail = failure.getErrorStr();
  switch (failure.getErrorCode() & 0xFF) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return damaged(failure.what());
    case SQLITE_FULL:
      return no_room(file);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {ErrorKind::kUnavailable, file + " is in use by another process: try again when it has ended"};
    case SQLITE_NOMEM:
      return {ErrorKind::kOutOfMemory, "the system has too little memory for " + file};
    case SQLITE_IOERR:
      if (is_disk_full(file_)) return no_room(file);
      [[fallthrough]];
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
      return {ErrorKind::kIo,
              file + " cannot be read or written (" + detail + "): check its folder's permissions and disk"};
    default:
      return {ErrorKind::kInternal, file + ": " + failure.what() + " (" + detail + ")"};
  }
}

Error Database::damaged(std::string detail) const {
  // SQLite quotes what stands in the file, which may be anything.
  for (char& c : detail) {
    if (c == '\n') c = ' ';
    if (c < ' ' || c > '~') c = '?';
  }
  const fs::path backup = newest_backup(file_);
  std::string message = "the database " + file_.string() + " is damaged (" + detail + "): ";
  if (backup.empty()) {
    message += "there is no backup beside it; move it away to start anew, or rescue rows with 'sqlite3 " +
               file_.string() + " .recover'";
  } else {
    message +=
        "the newest backup is " + backup.string() +
        "; stop mlxd, move the damaged file and its -wal and -shm away and copy the backup to its place";
  }
  return corrupt_data(std::move(message));
}

}  // namespace mlxd

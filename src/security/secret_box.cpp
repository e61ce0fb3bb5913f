#include "security/secret_box.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <optional>
#include <sstream>
#include <utility>

#include "security/private_file.h"
#include "security/sodium_start.h"
#include "security/token.h"

namespace mlxd {
namespace {

constexpr int kVariant = sodium_base64_VARIANT_URLSAFE_NO_PADDING;

std::string to_base64(std::string_view bytes) {
  std::string text(sodium_base64_encoded_len(bytes.size(), kVariant), '\0');
  sodium_bin2base64(text.data(), text.size(), reinterpret_cast<const unsigned char*>(bytes.data()),
                    bytes.size(), kVariant);
  text.resize(text.find('\0'));
  return text;
}

std::optional<std::string> from_base64(std::string_view text) {
  std::string bytes(text.size(), '\0');
  std::size_t size = 0;
  const char* end = nullptr;
  if (sodium_base642bin(reinterpret_cast<unsigned char*>(bytes.data()), bytes.size(), text.data(),
                        text.size(), nullptr, &size, &end, kVariant) != 0 ||
      end != text.data() + text.size())
    return std::nullopt;
  bytes.resize(size);
  return bytes;
}

}  // namespace

SecretBox::Key SecretBox::make_key() {
  ensure_sodium();
  Key key;
  key.id = random_token(6);
  key.bytes.resize(crypto_secretbox_KEYBYTES);
  crypto_secretbox_keygen(reinterpret_cast<unsigned char*>(key.bytes.data()));
  return key;
}

std::unique_ptr<SecretBox> SecretBox::in_memory() {
  auto box = std::unique_ptr<SecretBox>(new SecretBox({}));
  const MutexLock lock(box->mutex_);
  box->keys_.push_back(make_key());
  return box;
}

Result<std::unique_ptr<SecretBox>> SecretBox::open(const std::filesystem::path& key_file) {
  ensure_sodium();
  auto box = std::unique_ptr<SecretBox>(new SecretBox(key_file));
  const MutexLock lock(box->mutex_);
  struct stat facts {};
  if (::stat(key_file.c_str(), &facts) != 0) {
    if (errno != ENOENT) return io_error("cannot read " + key_file.string(), errno);
    box->keys_.push_back(make_key());
    TRY(box->write(box->keys_));
    return box;
  }
  if ((facts.st_mode & 0077U) != 0)
    return Error(ErrorKind::kForbidden, key_file.string() +
                                            " can be read by others than its owner: chmod 600 it, and "
                                            "replace the tokens it protects if it was shared");
  std::ifstream file(key_file);
  std::string line;
  while (std::getline(file, line)) {
    std::istringstream words(line);
    std::string id, text;
    words >> id >> text;
    auto bytes = from_base64(text);
    if (id.empty() || !bytes || bytes->size() != crypto_secretbox_KEYBYTES)
      return corrupt_data(
          key_file.string() +
          " is not as mlxd writes it: put its copy back, or move it away and set the stored tokens anew");
    box->keys_.push_back({std::move(id), std::move(*bytes)});
  }
  if (box->keys_.empty())
    return corrupt_data(key_file.string() +
                        " is empty: put its copy back, or remove it and set the stored tokens anew");
  return box;
}

Result<void> SecretBox::write(const std::vector<Key>& keys) const {
  if (file_.empty()) return {};
  std::string text;
  for (const Key& key : keys) text += key.id + " " + to_base64(key.bytes) + "\n";
  return write_private_file(file_, text);
}

// KEY-ID.NONCE-AND-CIPHERTEXT
std::string SecretBox::seal(std::string_view plain) const {
  const MutexLock lock(mutex_);
  const Key& key = keys_.front();
  std::string box(crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES + plain.size(), '\0');
  auto* bytes = reinterpret_cast<unsigned char*>(box.data());
  randombytes_buf(bytes, crypto_secretbox_NONCEBYTES);
  crypto_secretbox_easy(bytes + crypto_secretbox_NONCEBYTES,
                        reinterpret_cast<const unsigned char*>(plain.data()), plain.size(), bytes,
                        reinterpret_cast<const unsigned char*>(key.bytes.data()));
  return key.id + "." + to_base64(box);
}

Result<std::string> SecretBox::unseal(std::string_view sealed) const {
  const std::size_t dot = sealed.find('.');
  const auto box = dot == std::string_view::npos ? std::nullopt : from_base64(sealed.substr(dot + 1));
  constexpr std::size_t kOverhead = crypto_secretbox_NONCEBYTES + crypto_secretbox_MACBYTES;
  if (!box || box->size() < kOverhead) return corrupt_data("a stored secret is damaged: set it anew");
  const MutexLock lock(mutex_);
  const auto key = std::find_if(keys_.begin(), keys_.end(),
                                [&](const Key& each) { return each.id == sealed.substr(0, dot); });
  if (key == keys_.end())
    return corrupt_data("a stored secret was sealed with another key than that of " + file_.string() +
                        ": put that file back, or set the secret anew");
  std::string plain(box->size() - kOverhead, '\0');
  const auto* bytes = reinterpret_cast<const unsigned char*>(box->data());
  if (crypto_secretbox_open_easy(reinterpret_cast<unsigned char*>(plain.data()),
                                 bytes + crypto_secretbox_NONCEBYTES,
                                 box->size() - crypto_secretbox_NONCEBYTES, bytes,
                                 reinterpret_cast<const unsigned char*>(key->bytes.data())) != 0)
    return corrupt_data("a stored secret is damaged: set it anew");
  return plain;
}

Result<void> SecretBox::add_key() {
  const MutexLock lock(mutex_);
  std::vector<Key> keys = keys_;
  keys.insert(keys.begin(), make_key());
  TRY(write(keys));
  keys_ = std::move(keys);
  return {};
}

Result<void> SecretBox::forget_old_keys() {
  const MutexLock lock(mutex_);
  std::vector<Key> keys{keys_.front()};
  TRY(write(keys));
  keys_ = std::move(keys);
  return {};
}

}  // namespace mlxd

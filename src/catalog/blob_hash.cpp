#include "catalog/blob_hash.h"

#include <openssl/evp.h>

#include <array>

namespace mlxd {
namespace {

EVP_MD_CTX* of(void* context) { return static_cast<EVP_MD_CTX*>(context); }

EVP_MD_CTX* begin(const EVP_MD* method) {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  if (context == nullptr) return nullptr;
  if (EVP_DigestInit_ex(context, method, nullptr) == 1) return context;
  EVP_MD_CTX_free(context);
  return nullptr;
}

Error no_hash() { return {ErrorKind::kOutOfMemory, "cannot begin a checksum: OpenSSL refuses"}; }

}  // namespace

void BlobHash::Free::operator()(void* context) const { EVP_MD_CTX_free(of(context)); }

Result<BlobHash> BlobHash::sha256() {
  EVP_MD_CTX* context = begin(EVP_sha256());
  if (context == nullptr) return no_hash();
  return BlobHash(context);
}

Result<BlobHash> BlobHash::git_blob(std::uint64_t size_bytes) {
  EVP_MD_CTX* context = begin(EVP_sha1());
  if (context == nullptr) return no_hash();
  BlobHash hash(context);
  const std::string head = "blob " + std::to_string(size_bytes) + '\0';
  hash.update(head);
  return hash;
}

void BlobHash::update(std::span<const char> bytes) {
  EVP_DigestUpdate(of(context_.get()), bytes.data(), bytes.size());
}

std::string BlobHash::finish() {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes{};
  unsigned int size = 0;
  EVP_DigestFinal_ex(of(context_.get()), bytes.data(), &size);
  std::string text;
  for (unsigned int i = 0; i < size; ++i) {
    text += kDigits[bytes[i] >> 4U];
    text += kDigits[bytes[i] & 15U];
  }
  return text;
}

}  // namespace mlxd

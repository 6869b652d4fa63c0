#include "pointwork/text/tokenizer.h"

#include "pointwork/base/check.h"
#include "pointwork/files/file.h"
#include "pointwork/text/tokenizer_impl.h"
#include "pointwork/text/utf8.h"

namespace pointwork {

namespace {

constexpr uint64_t kLongestFile = uint64_t{1} << 30;
constexpr const char* kEndOfText = "<|endoftext|>";

}  // namespace

Tokenizer Tokenizer::load(const std::filesystem::path& path) {
  std::error_code ignored;
  const auto file = std::filesystem::is_directory(path, ignored) ? path / "tokenizer.json" : path;
  return parse(read_file(file, kLongestFile), file.string());
}

Tokenizer Tokenizer::parse(std::string_view json, const std::string& source_name) {
  Vocabulary vocabulary = parse_tokenizer_json(json, source_name);
  Tokenizer tokenizer;
  try {
    tokenizer.impl_ = std::make_shared<const Impl>(std::move(vocabulary));
  } catch (const Error& error) {
    fail(source_name, ": ", error.what());
  }
  return tokenizer;
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  std::vector<int32_t> ids;
  encode_to(text, ids, options);
  return ids;
}

void Tokenizer::encode_to(std::string_view text, std::vector<int32_t>& out,
                          EncodeOptions options) const {
  impl_->encode(text, out, options.special);
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string text;
  for (const int32_t id : ids) {
    const std::string_view bytes = token_bytes(id);
    if (!(skip_special && is_special(id))) text += bytes;
  }
  return text;
}

std::string_view Tokenizer::token_bytes(int32_t id) const {
  check(id >= 0 && id < vocab_size(), "token id ", id,
        " is out of range: this tokenizer has ids 0 to ", vocab_size() - 1);
  return impl_->vocabulary.tokens[static_cast<size_t>(id)];
}

bool Tokenizer::is_special(int32_t id) const {
  return id >= 0 && id < vocab_size() && impl_->special[static_cast<size_t>(id)];
}

int64_t Tokenizer::vocab_size() const {
  return static_cast<int64_t>(impl_->vocabulary.tokens.size());
}

std::optional<int32_t> Tokenizer::id_of(std::string_view token) const {
  for (const AddedToken& added : impl_->vocabulary.added) {
    if (added.content == token) return added.id;
  }
  return std::nullopt;
}

int32_t Tokenizer::end_of_text() const {
  const std::optional<int32_t> id = id_of(kEndOfText);
  check(id.has_value(), "the tokenizer has no ", kEndOfText);
  return *id;
}

std::string Tokenizer::to_json() const { return to_tokenizer_json(impl_->vocabulary); }

std::string Tokenizer::hash() const { return impl_->hash; }

std::string StreamDecoder::push(int32_t id) {
  pending_ += tokenizer_->token_bytes(id);
  std::string out;
  size_t at = 0;
  while (at < pending_.size()) {
    const Utf8Character c = utf8_character(pending_, at);
    if (c.length > 0) {
      out.append(pending_, at, c.length);
    } else if (c.cut) {
      break;
    } else {
      out += kReplacement;
    }
    at += c.length > 0 ? c.length : c.bad;
  }
  pending_.erase(0, at);
  return out;
}

// What is left is the beginning of one character.
std::string StreamDecoder::finish() {
  const std::string out(pending_.empty() ? "" : kReplacement);
  pending_.clear();
  return out;
}

}  // namespace pointwork

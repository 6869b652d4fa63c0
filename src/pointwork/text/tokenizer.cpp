#include "pointwork/text/tokenizer.h"

#include "pointwork/base/check.h"
#include "pointwork/files/file.h"
#include "pointwork/text/sentencepiece_file.h"
#include "pointwork/text/sentencepiece_json.h"
#include "pointwork/text/tokenizer_impl.h"
#include "pointwork/text/utf8.h"

namespace pointwork {

namespace {

constexpr uint64_t kLongestFile = uint64_t{1} << 30;
constexpr const char* kEndOfText = "<|endoftext|>";

}  // namespace

Tokenizer Tokenizer::load(const std::filesystem::path& path) {
  std::error_code ignored;
  std::filesystem::path file = path;
  if (std::filesystem::is_directory(path, ignored)) {
    file = path / "tokenizer.json";
    for (const char* name : {"tokenizer.model", "spiece.model"}) {
      if (!std::filesystem::exists(file, ignored) && std::filesystem::exists(path / name, ignored))
        file = path / name;
    }
  }
  const std::string content = read_file(file, kLongestFile);
  const size_t first = content.find_first_not_of(" \t\r\n");
  const bool json = first != content.npos && content[first] == '{';
  if (!json && (file.extension() == ".model" || looks_like_sentencepiece(content)))
    return of_pieces(read_sentencepiece(content, file.string()));
  if (!json && (file.extension() == ".bin" || looks_like_llama2c_tokenizer(content)))
    return of_pieces(read_llama2c_tokenizer(content, file.string()));
  return parse(content, file.string());
}

Tokenizer Tokenizer::parse(std::string_view json, const std::string& source_name) {
  return Tokenizer(std::make_shared<const Impl>(parse_tokenizer_json(json, source_name)));
}

Tokenizer Tokenizer::of_pieces(const SentencePieces& pieces) {
  return Tokenizer(
      std::make_shared<const Impl>(sentencepiece_parts(pieces, to_tokenizer_json(pieces))));
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  std::vector<int32_t> ids;
  encode_to(text, ids, options);
  return ids;
}

void Tokenizer::encode_to(std::string_view text, std::vector<int32_t>& out,
                          EncodeOptions options) const {
  impl_->encode(text, out, options);
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  for (const int32_t id : ids) token_bytes(id);  // in range
  return impl_->decode(ids, skip_special);
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

const std::vector<int32_t>& Tokenizer::ids_before() const { return impl_->parts.bounds.before; }

const std::vector<int32_t>& Tokenizer::ids_after() const { return impl_->parts.bounds.after; }

std::optional<int32_t> Tokenizer::find_end_of_text() const {
  if (!ids_after().empty()) return ids_after().back();
  for (const char* name : {kEndOfText, "<|end_of_text|>", "</s>", "<eos>"}) {
    if (const std::optional<int32_t> id = id_of(name)) return id;
  }
  return std::nullopt;
}

int32_t Tokenizer::end_of_text() const {
  const std::optional<int32_t> id = find_end_of_text();
  check(id.has_value(), "the tokenizer has no ", kEndOfText,
        ", nor any other token that ends a text");
  return *id;
}

std::string Tokenizer::to_json() const {
  const TokenizerParts& parts = impl_->parts;
  return parts.json.empty() ? to_tokenizer_json(parts.vocabulary) : parts.json;
}

std::string Tokenizer::hash() const { return impl_->hash; }

std::string StreamDecoder::push(int32_t id) {
  if (at_start_) {
    start_.push_back(id);
    const std::string text = tokenizer_->decode(start_);
    at_start_ = tokenizer_->is_special(id) || text.size() == start_size_;
    pending_ += text.substr(start_size_);
    start_size_ = text.size();
  } else {
    pending_ += tokenizer_->token_bytes(id);
  }
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

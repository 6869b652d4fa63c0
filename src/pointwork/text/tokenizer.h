#pragma once
// Text ⇄ token ids by byte-level BPE (GPT-2's), and Hugging Face's tokenizer.json.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pointwork {

struct EncodeOptions {
  bool special = true;  // special tokens written in the text become their ids; otherwise they are
                        // ordinary text
};

// Immutable after construction; all const members may be called from several threads.
class Tokenizer {
 public:
  // A tokenizer.json, or a folder that holds one. Error where the file asks for anything this class
  // does not do, by name.
  static Tokenizer load(const std::filesystem::path& path);
  static Tokenizer parse(std::string_view json, const std::string& source_name);

  std::vector<int32_t> encode(std::string_view text,
                              EncodeOptions options = {}) const;  // any bytes
  void encode_to(std::string_view text, std::vector<int32_t>& out,
                 EncodeOptions options = {}) const;  // appends
  std::string decode(std::span<const int32_t> ids,
                     bool skip_special = false) const;  // Error on an id out of range
  std::string_view token_bytes(
      int32_t id) const;  // the bytes of one token; valid as long as the tokenizer
  bool is_special(int32_t id) const;

  int64_t vocab_size() const;                                  // ids are 0 .. vocab_size - 1
  std::optional<int32_t> id_of(std::string_view token) const;  // of a special token
  int32_t end_of_text() const;  // "<|endoftext|>"; Error where there is none
  std::string to_json() const;  // tokenizer.json, loadable by Hugging Face tokenizers
  std::string hash() const;     // XXH3-128 of vocabulary, merges, special tokens: what ids mean

 private:
  friend class BpeTrainer;
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

// Decodes token by token and never emits half a UTF-8 character; bytes that cannot become one come
// out as U+FFFD.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}
  std::string push(int32_t id);  // the text that became certain
  std::string finish();          // what is left

 private:
  const Tokenizer* tokenizer_;
  std::string pending_;
};

}  // namespace pointwork

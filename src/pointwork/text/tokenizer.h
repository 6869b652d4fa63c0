#pragma once
// Text ⇄ token ids: our own byte-level BPE (GPT-2's) and the tokenizers of others, from Hugging
// Face's tokenizer.json, SentencePiece's .model and llama2.c's file.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace pointwork {

struct SentencePieces;

struct EncodeOptions {
  bool special = true;  // special tokens written in the text become their ids; otherwise they are
                        // ordinary text
  bool bounds = false;  // the ids that the file puts before and after a text
};

// Immutable after construction; all const members may be called from several threads.
class Tokenizer {
 public:
  // A file, told apart by what it holds, or a folder with a tokenizer.json, else a tokenizer.model
  // or spiece.model. Error where it asks for anything this class does not do, by name.
  static Tokenizer load(const std::filesystem::path& path);
  static Tokenizer parse(std::string_view json, const std::string& source_name);

  std::vector<int32_t> encode(std::string_view text,
                              EncodeOptions options = {}) const;  // any bytes; where they are
                                                                  // no UTF-8, only a plain
                                                                  // byte-level BPE keeps them
  void encode_to(std::string_view text, std::vector<int32_t>& out,
                 EncodeOptions options = {}) const;  // appends
  std::string decode(std::span<const int32_t> ids,
                     bool skip_special = false) const;  // Error on an id out of range
  std::string_view token_bytes(
      int32_t id) const;  // the bytes of one token; valid as long as the tokenizer
  bool is_special(int32_t id) const;

  int64_t vocab_size() const;                                  // ids are 0 .. vocab_size - 1
  std::optional<int32_t> id_of(std::string_view token) const;  // of a special token
  const std::vector<int32_t>& ids_before() const;              // what `bounds` puts before a text,
  const std::vector<int32_t>& ids_after() const;               // and after it
  // What the file puts after a text, else the first there is of <|endoftext|>, <|end_of_text|>,
  // </s> and <eos>; Error where there is none.
  int32_t end_of_text() const;
  std::optional<int32_t> find_end_of_text() const;  // the same, nothing where there is none
  std::string to_json() const;  // tokenizer.json, loadable by Hugging Face tokenizers: as read,
                                // where one was read
  std::string hash() const;     // XXH3-128 of vocabulary, merges, special tokens: what ids mean

 private:
  friend class BpeTrainer;
  struct Impl;
  explicit Tokenizer(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  static Tokenizer of_pieces(const SentencePieces& pieces);
  std::shared_ptr<const Impl> impl_;
};

// Decodes token by token and never emits half a UTF-8 character; bytes that cannot become one come
// out as U+FFFD.
// The space that some tokenizers put before a text is left out only at_start.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, bool at_start = false)
      : tokenizer_(&tokenizer), at_start_(at_start) {}
  std::string push(int32_t id);  // the text that became certain
  std::string finish();          // what is left

 private:
  const Tokenizer* tokenizer_;
  std::string pending_;
  bool at_start_;
  std::vector<int32_t> start_;  // ids of what is special or nothing so far, and the next
  size_t start_size_ = 0;       // bytes that they decode to
};

}  // namespace pointwork

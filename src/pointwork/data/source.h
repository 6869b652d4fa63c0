#pragma once
// Documents as a stream, from whatever files people have; memory does not grow with the input.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace pointwork {

// What a file's content is. The ending and the first bytes decide where it is `automatic`.
enum class InputFormat {
  automatic,
  text,           // a file is a document, unless lines of SourceOptions::separator divide it
  jsonl,          // a line is an object; its field is a document
  wikiextractor,  // documents stand between <doc ...> and </doc> lines, which are not part of them
  nanogpt,        // raw little-endian uint16 token ids
  llmc,           // llm.c's header, then uint16 (version 1) or uint32 (version 7) token ids
};

// "text", "jsonl", ...; UsageError with the nearest right name for anything else.
InputFormat input_format(const std::string& name);
const char* input_format_name(InputFormat format);

struct SourceOptions {
  InputFormat format = InputFormat::automatic;
  std::string field = "text";  // of JSON lines
  std::string separator =
      "<|endoftext|>";           // a line of a text file that divides documents; "": none
  bool replace_invalid = false;  // bytes that are not UTF-8, and NUL, become U+FFFD and are counted
  size_t piece_bytes = size_t{1} << 22;  // a longer document comes in pieces of about this size
  std::function<void(const std::string&)> note;  // what a person should know; one line each
};

// A document, or a piece of one. Pieces are cut where GPT-2's split pattern splits whatever follows
// (before white space that follows something else), so encoding the pieces gives the ids of the
// whole. Only a run of 16 MiB without white space is cut elsewhere, with a note.
struct Document {
  std::string text;  // UTF-8; empty where `tokens` is given
  std::vector<int32_t>
      tokens;          // ids from a token file, end-of-text ids included where the file has them
  bool starts = true;  // the document begins here
  bool ends = true;    // the document ends here
};

// Reads inputs in the given order; a folder gives its files, of all depths, in the order of their
// paths. Compressed files (.gz, .bz2, .xz, .zst) and archives (tar, zip) are read as streams. In a
// folder or archive, hidden files are left out; README and LICENSE files are too, with a note, and
// so are files of an ending that says nothing, unless a format is given. Every error is one line
// that names file and place.
class DocumentReader {
 public:
  DocumentReader(const std::vector<std::filesystem::path>& inputs, SourceOptions options = {});
  ~DocumentReader();
  DocumentReader(DocumentReader&&) noexcept;

  bool next(
      Document& document);  // false: no more. Error where an input gives nothing or is damaged
  uint64_t bytes_read()
      const;  // of the files as they lie on disk; safe to call from another thread
  uint64_t bytes_total() const;
  const std::vector<std::filesystem::path>& files() const;  // those that are read, in order
  bool holds_tokens() const;         // whether the last document came from a token file
  const std::string& place() const;  // the file, or FILE:MEMBER, of the last document; for messages

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pointwork

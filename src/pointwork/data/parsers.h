#pragma once
// One parser for each format: bytes of a file → documents.

#include <memory>
#include <string>

#include "pointwork/data/byte_source.h"
#include "pointwork/data/source.h"

namespace pointwork {

// Lines without holding more than a mebibyte of them; a byte order mark at the beginning is left
// out.
class LineReader {
 public:
  struct Line {
    std::string_view text;  // with its line end; valid until the next call
    bool starts = true;     // false: the rest of a line too long for the buffer
    bool ends = true;
    uint64_t offset = 0;  // in the file
    uint64_t number = 0;  // from 1
  };
  explicit LineReader(ByteSource& source) : source_(source) {}
  bool next(Line& line);
  std::string_view peek();  // the first bytes, before any next()

 private:
  bool fill();

  ByteSource& source_;
  std::string buffer_;
  size_t begin_ = 0, end_ = 0;
  uint64_t offset_ = 0, number_ = 0;
  bool started_ = false, at_start_ = true, done_ = false;
};

class Parser {
 public:
  virtual ~Parser() = default;
  virtual bool next(Document& document) = 0;
  virtual uint64_t replaced() const { return 0; }
  virtual bool tokens() const { return false; }
};

// Chooses the parser for the member `source` stands at. `options` and `source` must outlive it.
// `told_articles`: whether it was noted that a file's beginning tells it is wikiextractor's.
std::unique_ptr<Parser> make_parser(ByteSource& source, const SourceOptions& options,
                                    bool& told_articles);

std::unique_ptr<Parser> make_token_parser(ByteSource& source, InputFormat format);

}  // namespace pointwork

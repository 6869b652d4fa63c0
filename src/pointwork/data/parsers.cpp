#include "pointwork/data/parsers.h"

#include <cstring>
#include <nlohmann/json.hpp>
#include <string_view>

#include "pointwork/base/check.h"
#include "pointwork/data/pieces.h"
#include "pointwork/data/utf8.h"

namespace pointwork {
namespace {

constexpr size_t kLineBuffer = size_t{1} << 20;
constexpr size_t kLongestRecord = size_t{1} << 28;

std::string_view without_line_end(std::string_view line) {
  if (line.ends_with('\n')) line.remove_suffix(1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

bool opens_article(std::string_view line) {
  line = without_line_end(line);
  return line.starts_with("<doc id=\"") && line.ends_with('>');
}

class TextParser : public Parser {
 public:
  TextParser(ByteSource& source, std::unique_ptr<LineReader> lines, const SourceOptions& options)
      : options_(options), lines_(std::move(lines)), pieces_(options, source.name()) {}

  bool next(Document& document) override {
    LineReader::Line line;
    while (true) {
      if (pieces_.take(document)) return true;
      if (!lines_->next(line)) return pieces_.finish(document);
      const bool divides = !options_.separator.empty() && line.starts && line.ends &&
                           without_line_end(line.text) == options_.separator;
      if (!divides) {
        pieces_.append(line.text, line.offset);
      } else if (pieces_.finish(document)) {
        return true;
      }
    }
  }
  uint64_t replaced() const override { return pieces_.replaced(); }

 private:
  const SourceOptions& options_;
  std::unique_ptr<LineReader> lines_;
  PieceBuffer pieces_;
};

class ArticleParser : public Parser {
 public:
  ArticleParser(ByteSource& source, std::unique_ptr<LineReader> lines, const SourceOptions& options)
      : name_(source.name()), lines_(std::move(lines)), pieces_(options, name_) {}

  bool next(Document& document) override {
    LineReader::Line line;
    while (true) {
      if (pieces_.take(document)) return true;
      if (!lines_->next(line)) {
        check(opened_ == 0, name_, ": ends inside the <doc> of line ", opened_,
              ", without its </doc>: cut short?");
        return false;
      }
      if (line.starts && without_line_end(line.text) == "</doc>") {
        check(opened_ != 0, name_, ":", line.number, ": </doc> without <doc ...> before it");
        opened_ = 0;
        if (pieces_.finish(document)) return true;
      } else if (line.starts && line.text.starts_with("<doc ")) {
        check(opened_ == 0, name_, ":", line.number, ": <doc ...> inside the <doc> of line ",
              opened_);
        check(opens_article(line.text), name_, ":", line.number,
              ": a <doc ...> line must have an id and end in '>'");
        opened_ = line.number;
      } else if (opened_ != 0) {
        pieces_.append(line.text, line.offset);
      } else {
        check(line.text.find_first_not_of(" \t\r\n") == std::string_view::npos, name_, ":",
              line.number, ": text outside <doc ...> and </doc>: not a wikiextractor file");
      }
    }
  }
  uint64_t replaced() const override { return pieces_.replaced(); }

 private:
  std::string name_;
  std::unique_ptr<LineReader> lines_;
  PieceBuffer pieces_;
  uint64_t opened_ = 0;  // line of the open <doc>
};

class JsonLinesParser : public Parser {
 public:
  JsonLinesParser(ByteSource& source, std::unique_ptr<LineReader> lines,
                  const SourceOptions& options)
      : options_(options),
        name_(source.name()),
        lines_(std::move(lines)),
        pieces_(options, name_, true) {}

  bool next(Document& document) override {
    while (true) {
      if (open_) {
        if (pieces_.take(document)) return true;
        open_ = false;
        if (pieces_.finish(document)) return true;
      }
      if (!read_record()) return false;
    }
  }
  uint64_t replaced() const override { return replaced_; }

 private:
  bool read_record() {
    LineReader::Line line;
    long_line_.clear();
    while (true) {
      if (!lines_->next(line)) return false;
      std::string_view text = line.text;
      if (!line.starts || !line.ends) {
        check(long_line_.size() < kLongestRecord, name_, ":", line.number, ": a line longer than ",
              kLongestRecord >> 20, " MiB: not JSON lines");
        long_line_.append(text);
        if (!line.ends) continue;
        text = long_line_;
      }
      text = without_line_end(text);
      if (text.find_first_not_of(" \t") != std::string_view::npos) {
        add(text, line.number);
        return true;
      }
      long_line_.clear();
    }
  }

  void add(std::string_view text, uint64_t number) {
    std::string mended;
    if (options_.replace_invalid && first_invalid(text) < text.size()) {
      mended = replace_invalid(text, replaced_);
      text = mended;
    }
    nlohmann::json record;
    try {
      record = nlohmann::json::parse(text.begin(), text.end());
    } catch (const nlohmann::json::exception& error) {
      std::string what = error.what();
      if (const size_t colon = what.find("column "); colon != std::string::npos)
        what = what.substr(colon);
      fail(name_, ":", number, ": not a JSON object: ", what.substr(0, 160));
    }
    check(record.is_object(), name_, ":", number, ": a line must hold a JSON object but holds ",
          record.type_name());
    const auto found = record.find(options_.field);
    if (found == record.end()) {
      std::string names;
      for (const auto& [key, value] : record.items()) names += (names.empty() ? "" : ", ") + key;
      fail(name_, ":", number, ": no field '", options_.field,
           "' (--field names it); there are: ", names.empty() ? "none" : names.substr(0, 160));
    }
    check(found->is_string(), name_, ":", number, ": field '", options_.field,
          "' must be a string but is ", found->type_name());
    std::string& value = found->get_ref<std::string&>();
    pieces_.append(value, 0);
    open_ = true;
  }

  const SourceOptions& options_;
  std::string name_;
  std::unique_ptr<LineReader> lines_;
  PieceBuffer pieces_;
  std::string long_line_;
  uint64_t replaced_ = 0;
  bool open_ = false;
};

}  // namespace

bool LineReader::fill() {
  if (buffer_.empty()) buffer_.resize(kLineBuffer);
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  const size_t got = source_.read(buffer_.data() + end_, buffer_.size() - end_);
  end_ += got;
  if (end_ < buffer_.size()) done_ = true;
  if (!started_) {
    started_ = true;
    if (std::string_view(buffer_.data(), end_).starts_with("\xEF\xBB\xBF")) begin_ = offset_ = 3;
  }
  return got > 0;
}

std::string_view LineReader::peek() {
  if (!started_) fill();
  return {buffer_.data() + begin_, end_ - begin_};
}

bool LineReader::next(Line& line) {
  const char* found = nullptr;
  while (true) {
    if (begin_ < end_) {
      found = static_cast<const char*>(std::memchr(buffer_.data() + begin_, '\n', end_ - begin_));
      if (found || end_ - begin_ == buffer_.size() || done_) break;
    }
    if (done_ || !fill()) {
      if (begin_ == end_) return false;
      break;
    }
  }
  const size_t length =
      found ? static_cast<size_t>(found - buffer_.data()) + 1 - begin_ : end_ - begin_;
  line.text = {buffer_.data() + begin_, length};
  line.starts = at_start_;
  line.ends = found != nullptr || done_;
  line.offset = offset_;
  line.number = number_ += at_start_;
  at_start_ = line.ends;
  begin_ += length;
  offset_ += length;
  return true;
}

std::unique_ptr<Parser> make_parser(ByteSource& source, const SourceOptions& options,
                                    bool& told_articles) {
  InputFormat format = options.format;
  const std::string ending = content_ending(source.name());
  if (format == InputFormat::automatic) {
    if (ending == ".jsonl" || ending == ".ndjson" || ending == ".json") format = InputFormat::jsonl;
    if (ending == ".bin") return make_token_parser(source, InputFormat::automatic);
  }
  if (format == InputFormat::nanogpt || format == InputFormat::llmc)
    return make_token_parser(source, format);

  auto lines = std::make_unique<LineReader>(source);
  if (format == InputFormat::automatic) {
    const std::string_view start = lines->peek();
    if (opens_article(start.substr(0, start.find('\n')))) {
      format = InputFormat::wikiextractor;
      if (options.note && !std::exchange(told_articles, true))
        options.note(source.name() +
                     ": begins with <doc id=\"...\">: such files are read as "
                     "wikiextractor (--format text reads them as they are)");
    }
  }
  if (format == InputFormat::jsonl)
    return std::make_unique<JsonLinesParser>(source, std::move(lines), options);
  if (format == InputFormat::wikiextractor)
    return std::make_unique<ArticleParser>(source, std::move(lines), options);
  return std::make_unique<TextParser>(source, std::move(lines), options);
}

}  // namespace pointwork

#include "pointwork/data/source.h"

#include <algorithm>
#include <atomic>
#include <system_error>

#include "pointwork/base/check.h"
#include "pointwork/base/nearest.h"
#include "pointwork/data/parsers.h"

namespace pointwork {
namespace {

namespace fs = std::filesystem;

constexpr std::pair<const char*, InputFormat> kFormats[] = {
    {"auto", InputFormat::automatic},  {"text", InputFormat::text},
    {"jsonl", InputFormat::jsonl},     {"wikiextractor", InputFormat::wikiextractor},
    {"nanogpt", InputFormat::nanogpt}, {"llmc", InputFormat::llmc},
};

bool says_something(const std::string& name, bool archives) {
  static const std::vector<std::string> endings = {".txt",    ".text", ".tokens", ".jsonl",
                                                   ".ndjson", ".json", ".bin"};
  const std::string ending = content_ending(name);
  return std::find(endings.begin(), endings.end(), ending) != endings.end() ||
         (archives && is_archive_name(name));
}

// What folders of data say about themselves.
bool about_the_folder(const std::string& name) {
  std::string stem = fs::path(name).stem().string();
  std::transform(stem.begin(), stem.end(), stem.begin(),
                 [](unsigned char c) { return std::toupper(c); });
  return stem == "README" || stem == "LICENSE" || stem == "LICENCE";
}

bool hidden(const std::string& name) { return fs::path(name).filename().string().starts_with('.'); }

struct File {
  fs::path path;
  bool named = false;  // by the caller, not found in a folder
};

// What was left out, told in one line.
struct LeftOut {
  int64_t count = 0;
  std::string first;
  void add(const std::string& name) {
    if (count++ == 0) first = name;
  }
  void tell(const std::string& where, const SourceOptions& options) const {
    if (count == 0 || !options.note) return;
    options.note(concat(where, ": left out ", count, count == 1 ? " file" : " files",
                        count == 1 ? " (" : " (the first is ", first, ") that by name ",
                        count == 1 ? "is" : "are",
                        " no data; name what is to be read, or its --format"));
  }
};

void list_folder(const fs::path& folder, const SourceOptions& options, std::vector<File>& files) {
  std::error_code error;
  std::vector<fs::path> found;
  fs::recursive_directory_iterator walk(folder, error);
  check(!error, folder.string(), ": cannot be listed: ", error.message());
  for (; walk != fs::recursive_directory_iterator(); walk.increment(error)) {
    if (hidden(walk->path())) {
      walk.disable_recursion_pending();
    } else if (!walk->is_directory(error)) {
      found.push_back(walk->path());
    }
  }
  check(!error, folder.string(), ": cannot be listed: ", error.message());
  std::sort(found.begin(), found.end());
  LeftOut left_out;
  const size_t before = files.size();
  for (const fs::path& path : found) {
    const bool readable =
        options.format != InputFormat::automatic || says_something(path.string(), true);
    if (readable && !about_the_folder(path.string())) {
      files.push_back({path, false});
    } else {
      left_out.add(path.string());
    }
  }
  check(files.size() > before || left_out.count > 0, folder.string(), ": an empty folder");
  check(files.size() > before, folder.string(), ": no file in it looks like one with documents (",
        left_out.first, " does not); --format says what they are");
  left_out.tell(folder.string(), options);
}

}  // namespace

InputFormat input_format(const std::string& name) {
  std::vector<std::string> names;
  for (const auto& [known, format] : kFormats) {
    if (name == known) return format;
    names.emplace_back(known);
  }
  std::string all;
  for (const std::string& one : names) all += (all.empty() ? "" : ", ") + one;
  throw UsageError(
      concat("--format must be one of ", all, " but is '", name, "'", did_you_mean(name, names)));
}

const char* input_format_name(InputFormat format) {
  for (const auto& [name, known] : kFormats) {
    if (known == format) return name;
  }
  return "?";
}

struct DocumentReader::Impl {
  SourceOptions options;
  std::vector<File> files;
  std::vector<fs::path> paths;
  uint64_t total = 0;
  std::atomic<uint64_t> read{0};
  uint64_t before = 0;  // bytes of the files that are done
  size_t at = 0;
  std::unique_ptr<ByteSource> source;
  std::unique_ptr<Parser> parser;
  bool holds_tokens = false;
  bool told_articles = false;
  std::string place;
  int64_t from_file = 0;  // documents
  uint64_t replaced = 0;
  LeftOut members;

  bool open_next_file() {
    if (at == files.size()) return false;
    source = std::make_unique<ByteSource>(files[at].path);
    from_file = 0;
    return true;
  }

  // Another member of the open file, with its parser.
  bool open_next_member() {
    while (source->next()) {
      if (source->archive()) {
        check(!is_compressed_name(source->name()) && !is_archive_name(source->name()),
              source->name(), ": packed again inside an archive; unpack it first");
        if (hidden(source->name())) continue;
        if (about_the_folder(source->name()) ||
            (options.format == InputFormat::automatic && !says_something(source->name(), false))) {
          members.add(source->name());
          continue;
        }
      }
      parser = make_parser(*source, options, told_articles);
      return true;
    }
    return false;
  }

  void close_file() {
    const File& file = files[at];
    members.tell(file.path.string(), options);
    members = {};
    if (from_file == 0) {
      check(!file.named, file.path.string(), ": empty: it holds no document");
      if (options.note) options.note(file.path.string() + ": empty, left out");
    }
    source.reset();
    std::error_code ignored;
    before += fs::file_size(file.path, ignored);
    read = before;
    ++at;
  }
};

DocumentReader::DocumentReader(const std::vector<fs::path>& inputs, SourceOptions options)
    : impl_(std::make_unique<Impl>()) {
  check(!inputs.empty(), "no input is named");
  impl_->options = std::move(options);
  check(impl_->options.piece_bytes > 0, "piece_bytes must be above 0");
  for (const fs::path& input : inputs) {
    std::error_code error;
    const fs::file_status status = fs::status(input, error);
    check(fs::exists(status), input.string(), ": no such file or folder");
    if (fs::is_directory(status)) {
      list_folder(input, impl_->options, impl_->files);
    } else {
      impl_->files.push_back({input, true});
    }
  }
  for (const File& file : impl_->files) {
    std::error_code error;
    const uint64_t size = fs::file_size(file.path, error);
    check(!error, file.path.string(), ": cannot be read: ", error.message());
    impl_->total += size;
    impl_->paths.push_back(file.path);
  }
}

DocumentReader::~DocumentReader() = default;
DocumentReader::DocumentReader(DocumentReader&&) noexcept = default;

bool DocumentReader::next(Document& document) {
  Impl& self = *impl_;
  while (true) {
    if (self.parser) {
      if (self.parser->next(document)) {
        self.holds_tokens = self.parser->tokens();
        self.place = self.source->name();
        self.from_file += document.starts;
        self.read = self.before + self.source->consumed();
        return true;
      }
      if (self.parser->replaced() > 0 && self.options.note) {
        self.options.note(concat(self.source->name(), ": ", self.parser->replaced(),
                                 " times bytes that are no UTF-8 text became U+FFFD"));
      }
      self.parser.reset();
    }
    if (!self.source && !self.open_next_file()) return false;
    if (!self.open_next_member()) self.close_file();
  }
}

uint64_t DocumentReader::bytes_read() const { return impl_->read; }
uint64_t DocumentReader::bytes_total() const { return impl_->total; }
const std::vector<fs::path>& DocumentReader::files() const { return impl_->paths; }
bool DocumentReader::holds_tokens() const { return impl_->holds_tokens; }
const std::string& DocumentReader::place() const { return impl_->place; }

}  // namespace pointwork

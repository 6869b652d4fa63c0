#include "pointwork/text/pre_tokenizer.h"

#include "pointwork/base/check.h"
#include "pointwork/text/normalizer.h"
#include "pointwork/text/split.h"
#include "pointwork/text/stand_in.h"
#include "pointwork/text/tokenizer_file.h"
#include "pointwork/text/unicode.h"
#include "pointwork/text/utf8.h"

namespace pointwork {
namespace {

struct Span {
  size_t begin, end;
  bool match;
};

// Takes spans between and of matches, in order, and says which stretches result.
class Divider {
 public:
  Divider(Behavior behavior, const std::function<void(size_t, size_t)>& take)
      : behavior_(behavior), take_(take) {}

  void push(Span span) {
    switch (behavior_) {
      case Behavior::kIsolated:
        return take_(span.begin, span.end);
      case Behavior::kRemoved:
        if (!span.match) take_(span.begin, span.end);
        return;
      case Behavior::kMergedWithPrevious:
        return join(span, span.match && !last_);
      case Behavior::kContiguous:
        return join(span, span.match == last_);
      case Behavior::kMergedWithNext:
        // A match waits for what comes next, which takes it unless that is a match too.
        if (open_ && !(last_ && !span.match)) flush();
        begin_ = open_ ? begin_ : span.begin;
        end_ = span.end;
        open_ = true;
        last_ = span.match;
        return;
    }
  }

  void flush() {
    if (open_) take_(begin_, end_);
    open_ = false;
  }

 private:
  void join(Span span, bool with_last) {
    if (open_ && !with_last) flush();
    begin_ = open_ ? begin_ : span.begin;
    end_ = span.end;
    open_ = true;
    last_ = span.match;
  }

  const Behavior behavior_;
  const std::function<void(size_t, size_t)>& take_;
  size_t begin_ = 0, end_ = 0;
  bool open_ = false, last_ = false;
};

void divide_by(const Pattern& pattern, Behavior behavior, bool invert, std::string_view text,
               const std::function<void(size_t, size_t)>& take) {
  Divider divider(behavior, take);
  size_t from = 0;
  pattern.each(text, [&](Pattern::Match match) {
    if (from != match.begin) divider.push({from, match.begin, invert});
    divider.push({match.begin, match.end, !invert});
    from = match.end;
  });
  if (from != text.size()) divider.push({from, text.size(), invert});
  divider.flush();
}

Behavior read_behavior(const Settings& given) {
  return static_cast<Behavior>(given.choice(
      "behavior", {"Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"}));
}

}  // namespace

PreTokenizer::PreTokenizer(const Settings& given) { add(given); }

bool PreTokenizer::plain() const {
  if (steps_.size() != 1) return false;
  const auto* step = std::get_if<ByteLevel>(&steps_[0]);
  return step != nullptr && step->pattern && !step->prefix_space;
}

void PreTokenizer::add(const Settings& given) {
  const std::string type = given.type();
  if (type == "Sequence") {
    given.only_keys({"type", "pretokenizers"});
    for (const Settings& one : given.list("pretokenizers")) add(one);
    return;
  }
  meaning_ += type + ' ';
  if (type == "ByteLevel") {
    add_byte_level(given);
  } else if (type == "Metaspace") {
    add_metaspace(given);
  } else if (type == "Split") {
    given.only_keys({"type", "pattern", "behavior", "invert"});
    const Pattern pattern = read_pattern(given, meaning_);
    const auto behavior = read_behavior(given);
    const bool invert = given.flag("invert", false);
    meaning_ += concat(invert, ' ');
    add_split(pattern, behavior, invert);
  } else if (type == "Digits") {
    given.only_keys({"type", "individual_digits"});
    const bool each = given.flag("individual_digits", false);
    add_split(Pattern::regex("\\p{N}"), each ? Behavior::kIsolated : Behavior::kContiguous);
  } else if (type == "Punctuation") {
    given.only_keys({"type", "behavior"});
    const auto behavior = given.has("behavior") ? read_behavior(given) : Behavior::kIsolated;
    add_split(Pattern::regex(concat('[', punctuation_set(), ']')), behavior);
  } else if (type == "WhitespaceSplit") {
    given.only_keys({"type"});
    add_split(Pattern::regex("\\s"), Behavior::kRemoved);
  } else if (type == "Whitespace") {
    given.only_keys({"type"});
    add_split(Pattern::regex("\\w+|[^\\w\\s]+"), Behavior::kRemoved, /*invert=*/true);
  } else {
    given.refuse(type,
                 " is not supported, only ByteLevel, Metaspace, Split, Digits, Punctuation, "
                 "Whitespace, WhitespaceSplit and Sequence");
  }
}

void PreTokenizer::add_split(const Pattern& pattern, Behavior behavior, bool invert) {
  meaning_ += concat(static_cast<int>(behavior), ' ');
  steps_.emplace_back(Split{pattern, behavior, invert});
  for (Step& step : steps_) {
    if (auto* before = std::get_if<ByteLevel>(&step)) before->spells = spelled_ = true;
  }
}

void PreTokenizer::add_byte_level(const Settings& given) {
  given.only_keys({"type", "add_prefix_space", "trim_offsets", "use_regex"});
  if (byte_level_) given.refuse("ByteLevel twice is not supported");
  for (const Step& step : steps_) {
    if (std::holds_alternative<Metaspace>(step))
      given.refuse("ByteLevel after Metaspace is not supported");
  }
  const ByteLevel step{given.flag("add_prefix_space"), given.flag("use_regex", true)};
  meaning_ += concat(step.prefix_space, step.pattern, ' ');
  steps_.emplace_back(step);
  byte_level_ = true;
}

void PreTokenizer::add_metaspace(const Settings& given) {
  given.only_keys(
      {"type", "replacement", "str_rep", "add_prefix_space", "prepend_scheme", "split"});
  if (byte_level_) given.refuse("Metaspace after ByteLevel is not supported");
  Metaspace step{given.text("replacement"), Scheme::kAlways, given.flag("split", true), {}};
  if (given.has("prepend_scheme"))
    step.scheme = static_cast<Scheme>(given.choice("prepend_scheme", {"always", "never", "first"}));
  if (!given.flag("add_prefix_space", true)) {
    if (given.has("prepend_scheme") && step.scheme != Scheme::kNever)
      given.refuse("add_prefix_space = false contradicts prepend_scheme");
    step.scheme = Scheme::kNever;
  }
  const Utf8Character c = utf8_character(step.replacement + '\0', 0);
  if (step.replacement.empty() || c.length != step.replacement.size())
    given.refuse("replacement must be one character, found ", shown(step.replacement));
  step.mark = Pattern::literal(step.replacement);
  meaning_ += concat(step.replacement, static_cast<int>(step.scheme), step.split, ' ');
  steps_.emplace_back(std::move(step));
}

void PreTokenizer::cut_before(std::string mark) { steps_.emplace_back(Cut{std::move(mark)}); }

void PreTokenizer::divide(std::string_view text, bool first, const Take& take) const {
  if (text.empty()) return;
  if (!spelled_) return run(0, text, first, take);
  run(0, text, first, [&](std::string_view piece) {
    const std::optional<std::string> bytes = from_stand_ins(piece);
    take(bytes ? std::string_view(*bytes) : piece);
  });
}

void PreTokenizer::run(size_t i, std::string_view text, bool first, const Take& take) const {
  if (text.empty()) return;
  if (i == steps_.size()) return take(text);
  const Step& step = steps_[i];
  if (const auto* split = std::get_if<Split>(&step)) {
    divide_by(split->pattern, split->behavior, split->invert, text, [&](size_t begin, size_t end) {
      run(i + 1, text.substr(begin, end - begin), first && begin == 0, take);
    });
  } else if (const auto* bytes = std::get_if<ByteLevel>(&step)) {
    run_byte_level(*bytes, i + 1, text, take);
  } else if (const auto* cut = std::get_if<Cut>(&step)) {
    run_cut(*cut, i + 1, text, take);
  } else {
    run_metaspace(std::get<Metaspace>(step), i + 1, text, first, take);
  }
}

void PreTokenizer::run_cut(const Cut& step, size_t next, std::string_view text,
                           const Take& take) const {
  size_t from = 0;
  for (size_t at = text.find(step.mark, 1); at != text.npos; at = text.find(step.mark, at)) {
    if (!text.substr(0, at).ends_with(step.mark)) {
      run(next, text.substr(from, at - from), false, take);
      from = at;
    }
    at += step.mark.size();
  }
  run(next, text.substr(from), false, take);
}

void PreTokenizer::run_byte_level(const ByteLevel& step, size_t next, std::string_view text,
                                  const Take& take) const {
  std::string prefixed;
  if (step.prefix_space && !text.starts_with(' ')) {
    prefixed = concat(' ', text);
    text = prefixed;
  }
  const auto give = [&](std::string_view piece) {
    if (step.spells) {
      run(next, to_stand_ins(piece), false, take);
    } else {
      run(next, piece, false, take);
    }
  };
  if (!step.pattern) return give(text);
  for (size_t at = 0, end; at < text.size(); at = end) {
    end = piece_end(text, at);
    give(text.substr(at, end - at));
  }
}

void PreTokenizer::run_metaspace(const Metaspace& step, size_t next, std::string_view text,
                                 bool first, const Take& take) const {
  std::string marked;
  marked.reserve(text.size() + text.size() / 2 + step.replacement.size());
  const bool wanted = step.scheme == Scheme::kAlways || (step.scheme == Scheme::kFirst && first);
  if (wanted && !text.starts_with(' ') && !text.starts_with(step.replacement))
    marked += step.replacement;
  for (const char c : text) {
    if (c == ' ') {
      marked += step.replacement;
    } else {
      marked += c;
    }
  }
  if (!step.split) return run(next, marked, first, take);
  divide_by(step.mark, Behavior::kMergedWithNext, false, marked, [&](size_t begin, size_t end) {
    run(next, std::string_view(marked).substr(begin, end - begin), first && begin == 0, take);
  });
}

}  // namespace pointwork

#include "pointwork/text/added_tokens.h"

#include <algorithm>
#include <cstring>

#include "pointwork/text/unicode.h"
#include "pointwork/text/utf8.h"

namespace pointwork {

AddedTokens::AddedTokens(const std::vector<AddedToken>& tokens, Normalize normalize)
    : normalize_(std::move(normalize)) {
  for (AddedToken token : tokens) {
    if (token.normalized && normalize_) token.content = normalize_(token.content);
    if (!token.content.empty()) (token.normalized ? second_ : first_).add(token);
  }
  first_.sort();
  second_.sort();
}

void AddedTokens::Group::add(const AddedToken& token) {
  auto& same = by_first_[static_cast<unsigned char>(token.content[0])];
  if (same.empty()) firsts_.push_back(token.content[0]);
  same.push_back(token);
}

void AddedTokens::Group::sort() {
  for (auto& same : by_first_) {
    std::stable_sort(same.begin(), same.end(), [](const AddedToken& a, const AddedToken& b) {
      return a.content.size() > b.content.size();
    });
  }
}

AddedTokens::Group::Place AddedTokens::Group::find(std::string_view text, size_t from) const {
  for (size_t at = from; !firsts_.empty() && at < text.size(); ++at) {
    if (firsts_.size() == 1) {
      const void* next = std::memchr(text.data() + at, firsts_[0], text.size() - at);
      if (next == nullptr) break;
      at = static_cast<size_t>(static_cast<const char*>(next) - text.data());
    }
    for (const AddedToken& token : by_first_[static_cast<unsigned char>(text[at])]) {
      if (text.compare(at, token.content.size(), token.content) == 0) return {at, &token};
    }
  }
  return {text.size(), nullptr};
}

AddedTokens::Group::Extent AddedTokens::Group::extent(std::string_view text, size_t done,
                                                      size_t begin, size_t end,
                                                      const AddedToken& token) {
  if (token.single_word) {
    const bool before = begin > 0 && is_word_character(last_character(text.substr(0, begin)));
    const bool after = end < text.size() && is_word_character(utf8_character(text, end).code);
    if (before || after) return {1, 0};
  }
  if (token.lstrip) begin = std::max(done, begin - white_space_after(text.substr(0, begin)));
  if (token.rstrip) end += white_space_before(text.substr(end));
  return {begin, end};
}

}  // namespace pointwork

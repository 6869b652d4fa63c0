#include "pointwork/text/added_tokens.h"

#include <algorithm>
#include <cstring>

namespace pointwork {

AddedTokens::AddedTokens(const std::vector<AddedToken>& tokens) {
  for (const AddedToken& token : tokens) (token.normalized ? second_ : first_).add(token);
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

AddedTokens::Group::Place AddedTokens::Group::find(std::string_view text) const {
  for (size_t at = 0; !firsts_.empty() && at < text.size(); ++at) {
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

}  // namespace pointwork

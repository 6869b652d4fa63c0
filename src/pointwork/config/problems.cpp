#include <algorithm>
#include <set>

#include "pointwork/base/nearest.h"
#include "pointwork/config/config.h"

namespace pointwork {
namespace {

constexpr int64_t kMostLeaves = 100'000;

std::vector<std::string> children_of(const BranchConfig& branch) {
  return std::visit(
      [](const auto& form) -> std::vector<std::string> {
        if constexpr (requires { form.of; }) {
          if constexpr (std::is_same_v<std::decay_t<decltype(form.of)>, std::string>)
            return {form.of};
          else
            return form.of;
        } else {
          return {};
        }
      },
      branch.form);
}

class Checker {
 public:
  explicit Checker(const Config& config) : config_(config) {
    for (const auto& [name, branch] : config.branch) names_.push_back(name);
  }

  std::vector<std::string> run() {
    trunk();
    for (const auto& [name, branch] : config_.branch) one_branch(name, branch);
    if (problems_.empty()) grammar();
    budget();
    return std::move(problems_);
  }

 private:
  template <class... Parts>
  void problem(const Parts&... parts) {
    problems_.push_back(concat(parts...));
  }

  void name_exists(const std::string& key, const std::string& name) {
    if (config_.branch.count(name)) return;
    problem(key, " names the branch '", name, "', but there is no [branch.", name, "]",
            did_you_mean(name, names_));
  }

  void trunk() {
    const ModelConfig& m = config_.model;
    const int64_t fixed = static_cast<int64_t>(m.layers.first.size() + m.layers.last.size());
    for (const auto& name : m.layers.first) name_exists("model.layers.first", name);
    for (const auto& name : m.layers.repeat) name_exists("model.layers", name);
    for (const auto& name : m.layers.last) name_exists("model.layers.last", name);
    if (fixed > m.num_hidden_layers) {
      problem("model.layers: first and last name ", fixed,
              " layers, but model.num_hidden_layers is ", m.num_hidden_layers);
    } else if (m.layers.repeat.empty() && fixed < m.num_hidden_layers) {
      problem("model.layers must name the branches of ", m.num_hidden_layers,
              " layers, as [\"dense\"], but names ",
              fixed == 0 ? "none" : concat(fixed, " and nothing to repeat"));
    }
    const TrainConfig& t = config_.train;
    if (m.position_embedding == PositionEmbedding::learned &&
        t.sequence_length > m.max_position_embeddings) {
      problem("train.sequence_length is ", t.sequence_length, ", more than the ",
              m.max_position_embeddings, " learned positions of model.max_position_embeddings");
    }
  }

  void one_branch(const std::string& name, const BranchConfig& branch) {
    const std::string path = "branch." + name;
    const bool plain = !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) {
      return std::isalnum(c) || c == '_' || c == '-';
    });
    if (!plain) problem(path, ": a branch's name must be of letters, digits, '_' and '-'");
    if (branch.form.index() >= 2 && children_of(branch).empty())
      problem(path, ".of must name at least one branch but is empty");
    for (const std::string& child : children_of(branch)) name_exists(path + ".of", child);
    if (const auto* attention = std::get_if<AttentionConfig>(&branch.form)) sizes(path, *attention);
  }

  void sizes(const std::string& path, const AttentionConfig& a) {
    const int64_t heads = a.num_attention_heads, hidden = config_.model.hidden_size;
    if (a.head_dim == 0 && hidden % heads != 0) {
      problem(path, ".num_attention_heads is ", heads,
              ", which does not divide model.hidden_size = ", hidden,
              "; give head_dim, or another number of heads");
      return;
    }
    if (a.num_key_value_heads > 0 && heads % a.num_key_value_heads != 0) {
      problem(path, ".num_key_value_heads is ", a.num_key_value_heads,
              ", which does not divide num_attention_heads = ", heads);
    }
    const int64_t width = a.head_dim ? a.head_dim : hidden / heads;
    const auto rotated = static_cast<int64_t>(static_cast<double>(width) * a.partial_rotary_factor);
    if (a.rope_theta > 0 && rotated % 2 != 0) {
      problem(path, ": a head's rotated width must be even but is ", rotated, " (head_dim ", width,
              " x partial_rotary_factor ", a.partial_rotary_factor, ")");
    }
    if (a.rope_theta > 0 && rotated == 0)
      problem(path, ".partial_rotary_factor leaves no width to rotate in a head of ", width);
  }

  // Cycles, and trees too large to build.
  void grammar() {
    const auto layers = layer_names(config_.model);
    int64_t leaves = 0;
    for (const std::string& name : std::set<std::string>(layers.begin(), layers.end())) {
      std::vector<std::string> above;
      const int64_t inside = count_leaves(name, above);
      if (inside < 0) return;
      leaves += inside * std::count(layers.begin(), layers.end(), name);
      if (leaves > kMostLeaves) {
        problem("model.layers: the grammar unfolds to more than ", kMostLeaves, " branches");
        return;
      }
    }
  }

  int64_t count_leaves(const std::string& name, std::vector<std::string>& above) {
    if (std::find(above.begin(), above.end(), name) != above.end()) {
      std::string way;
      for (const std::string& one : above) way += one + " -> ";
      problem("branch.", name, " contains itself: ", way, name);
      return -1;
    }
    above.push_back(name);
    int64_t leaves = 0;
    const auto children = children_of(config_.branch.at(name));
    for (const std::string& child : children) {
      const int64_t inside = count_leaves(child, above);
      if (inside < 0) return -1;
      leaves = std::min(leaves + inside, kMostLeaves + 1);
      if (leaves > kMostLeaves) break;
    }
    above.pop_back();
    return children.empty() ? 1 : leaves;
  }

  void budget() {
    const TrainConfig& t = config_.train;
    if ((t.steps > 0) + (t.tokens > 0) + (t.flops > 0) > 1) {
      problem("train: give one budget of steps, tokens and flops; found ",
              t.steps > 0 ? concat("steps = ", t.steps, " ") : "",
              t.tokens > 0 ? concat("tokens = ", t.tokens, " ") : "",
              t.flops > 0 ? concat("flops = ", t.flops) : "");
    }
  }

  const Config& config_;
  std::vector<std::string> names_, problems_;
};

}  // namespace

std::vector<std::string> problems(const Config& config) { return Checker(config).run(); }

}  // namespace pointwork

//! What the edges make of the nodes: layers, cycles, what leads where. By index, without recursion, so that the largest
//! graph takes milliseconds and no stack.

use std::collections::VecDeque;

/// Nodes by their index, and the edges between them, each with the index that the client knows it by.
#[derive(Debug)]
pub(super) struct Shape {
    /// For each node, the edges that leave it.
    outgoing: Vec<Vec<Link>>,
    /// For each node, how many edges lead to it.
    incoming: Vec<usize>,
}

/// An edge as its source sees it.
#[derive(Clone, Copy, Debug)]
struct Link {
    edge: usize,
    target: usize,
}

/// A way from a node back to itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cycle {
    /// The nodes on the way, each once.
    pub(super) nodes: Vec<usize>,
    /// The edge that leads from the last back to the first.
    pub(super) closing_edge: usize,
}

impl Shape {
    /// The shape of `nodes` nodes and `(edge, source, target)`s, whose sources and targets are below that number.
    pub(super) fn new(nodes: usize, edges: impl Iterator<Item = (usize, usize, usize)>) -> Self {
        let mut shape = Self {
            outgoing: vec![Vec::new(); nodes],
            incoming: vec![0; nodes],
        };
        for (edge, source, target) in edges {
            shape.outgoing[source].push(Link { edge, target });
            shape.incoming[target] += 1;
        }
        shape
    }

    /// How many edges lead to a node.
    pub(super) fn incoming(&self, node: usize) -> usize {
        self.incoming[node]
    }

    /// The nodes in topological order, each in the first layer after all that lead to it; `None` if there is a cycle.
    pub(super) fn layers(&self) -> Option<Vec<Vec<usize>>> {
        let mut open = self.incoming.clone();
        let mut layer: Vec<usize> = (0..open.len()).filter(|&node| open[node] == 0).collect();
        let mut layers = Vec::new();
        let mut placed = 0;
        while !layer.is_empty() {
            let mut next = Vec::new();
            for &node in &layer {
                for link in &self.outgoing[node] {
                    open[link.target] -= 1;
                    if open[link.target] == 0 {
                        next.push(link.target);
                    }
                }
            }
            next.sort_unstable();
            placed += layer.len();
            layers.push(std::mem::replace(&mut layer, next));
        }
        (placed == open.len()).then_some(layers)
    }

    /// A shortest cycle through the first node of each group of nodes that lead to each other.
    pub(super) fn cycles(&self) -> Vec<Cycle> {
        let group = self.groups();
        let mut size = vec![0_usize; self.outgoing.len()];
        for &root in &group {
            size[root] += 1;
        }
        let mut seen = vec![false; self.outgoing.len()];
        let mut cycles = Vec::new();
        for node in 0..self.outgoing.len() {
            let root = group[node];
            if size[root] > 1 && !seen[root] {
                seen[root] = true;
                cycles.extend(self.cycle_through(node, &group));
            }
        }
        cycles
    }

    /// Whether each node can be reached from `roots`.
    pub(super) fn reached(&self, roots: &[usize]) -> Vec<bool> {
        let mut reached = vec![false; self.outgoing.len()];
        let mut stack = roots.to_vec();
        while let Some(node) = stack.pop() {
            if !std::mem::replace(&mut reached[node], true) {
                stack.extend(self.outgoing[node].iter().map(|link| link.target));
            }
        }
        reached
    }

    /// For each node, all that lead to it, directly or not; the shape must have no cycle and `layers` be its own.
    pub(super) fn ancestors(&self, layers: &[Vec<usize>]) -> Ancestors {
        let words = self.outgoing.len().div_ceil(64);
        let mut sets = vec![vec![0_u64; words]; self.outgoing.len()];
        for &node in layers.iter().flatten() {
            let mut passed_on = sets[node].clone();
            passed_on[node / 64] |= 1 << (node % 64);
            for link in &self.outgoing[node] {
                for (word, more) in sets[link.target].iter_mut().zip(&passed_on) {
                    *word |= more;
                }
            }
        }
        Ancestors(sets)
    }

    /// For each node, a number that it shares with just those that it leads to and that lead to it: Tarjan's strongly
    /// connected components, with a stack of its own in place of recursion.
    fn groups(&self) -> Vec<usize> {
        const UNSEEN: usize = usize::MAX;
        let nodes = self.outgoing.len();
        let mut order = vec![UNSEEN; nodes];
        let mut low = vec![0; nodes];
        let mut group = vec![UNSEEN; nodes];
        let mut waiting = Vec::new();
        let mut next_order = 0;
        for start in 0..nodes {
            if order[start] != UNSEEN {
                continue;
            }
            // Each entry is a node and how many of its edges have been followed.
            let mut path = vec![(start, 0)];
            while let Some((node, followed)) = path.pop() {
                if followed == 0 {
                    order[node] = next_order;
                    low[node] = next_order;
                    next_order += 1;
                    waiting.push(node);
                }
                if let Some(link) = self.outgoing[node].get(followed) {
                    path.push((node, followed + 1));
                    if order[link.target] == UNSEEN {
                        path.push((link.target, 0));
                    } else if group[link.target] == UNSEEN {
                        low[node] = low[node].min(order[link.target]);
                    }
                    continue;
                }
                if low[node] == order[node] {
                    while let Some(member) = waiting.pop() {
                        group[member] = node;
                        if member == node {
                            break;
                        }
                    }
                }
                if let Some(&(parent, _)) = path.last() {
                    low[parent] = low[parent].min(low[node]);
                }
            }
        }
        group
    }

    /// A shortest way from `start` back to itself inside its group.
    fn cycle_through(&self, start: usize, group: &[usize]) -> Option<Cycle> {
        let mut came_from = vec![None; self.outgoing.len()];
        let mut queue = VecDeque::from([start]);
        while let Some(node) = queue.pop_front() {
            for link in &self.outgoing[node] {
                if link.target == start {
                    let mut nodes = vec![node];
                    while let Some(before) = came_from[nodes[nodes.len() - 1]] {
                        nodes.push(before);
                    }
                    nodes.reverse();
                    let closing_edge = link.edge;
                    return Some(Cycle {
                        nodes,
                        closing_edge,
                    });
                }
                if group[link.target] == group[start] && came_from[link.target].is_none() {
                    came_from[link.target] = Some(node);
                    queue.push_back(link.target);
                }
            }
        }
        None
    }
}

/// Who leads to whom: a bit for each pair.
#[derive(Debug)]
pub(super) struct Ancestors(Vec<Vec<u64>>);

impl Ancestors {
    /// Whether `ancestor` leads to `node`, directly or not; no node leads to itself.
    pub(super) fn contains(&self, node: usize, ancestor: usize) -> bool {
        self.0[node][ancestor / 64] & (1 << (ancestor % 64)) != 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn graphs() -> impl Strategy<Value = (usize, Vec<(usize, usize)>)> {
        (1_usize..24).prop_flat_map(|nodes| {
            let edges = prop::collection::vec((0..nodes, 0..nodes), 0..60);
            let edges = edges.prop_map(|edges| edges.into_iter().filter(|(a, b)| a != b).collect());
            (Just(nodes), edges)
        })
    }

    fn shape(nodes: usize, edges: &[(usize, usize)]) -> Shape {
        let numbered = edges.iter().enumerate();
        Shape::new(nodes, numbered.map(|(edge, &(a, b))| (edge, a, b)))
    }

    /// Which nodes lead to which, by Warshall's algorithm.
    fn closure(nodes: usize, edges: &[(usize, usize)]) -> Vec<Vec<bool>> {
        let mut leads = vec![vec![false; nodes]; nodes];
        for &(a, b) in edges {
            leads[a][b] = true;
        }
        for via in 0..nodes {
            for from in 0..nodes {
                for to in 0..nodes {
                    leads[from][to] |= leads[from][via] && leads[via][to];
                }
            }
        }
        leads
    }

    proptest! {
        #[test]
        fn layers_exist_just_without_cycles_and_are_a_topological_order((nodes, edges) in graphs()) {
            let leads = closure(nodes, &edges);
            let cyclic = (0..nodes).any(|node| leads[node][node]);

            let layers = shape(nodes, &edges).layers();

            prop_assert_eq!(layers.is_none(), cyclic);
            if let Some(layers) = layers {
                let mut place = vec![None; nodes];
                for (at, layer) in layers.iter().enumerate() {
                    for &node in layer {
                        prop_assert_eq!(place[node].replace(at), None);
                    }
                }
                prop_assert!(place.iter().all(Option::is_some));
                prop_assert!(edges.iter().all(|&(a, b)| place[a] < place[b]));
            }
        }

        #[test]
        fn each_cycle_found_is_one_and_each_group_of_nodes_has_one((nodes, edges) in graphs()) {
            let leads = closure(nodes, &edges);

            let cycles = shape(nodes, &edges).cycles();

            let mut covered = vec![false; nodes];
            for Cycle { nodes: on_it, closing_edge } in &cycles {
                for pair in on_it.windows(2) {
                    prop_assert!(edges.contains(&(pair[0], pair[1])));
                }
                prop_assert_eq!(edges[*closing_edge], (on_it[on_it.len() - 1], on_it[0]));
                for node in 0..nodes {
                    let together = leads[on_it[0]][node] && leads[node][on_it[0]];
                    prop_assert!(!(together && covered[node]), "a second cycle of one group");
                    covered[node] |= together;
                }
            }
            for node in 0..nodes {
                prop_assert_eq!(covered[node], leads[node][node]);
            }
        }

        #[test]
        fn ancestors_and_reach_agree_with_the_closure((nodes, edges) in graphs()) {
            let leads = closure(nodes, &edges);
            let shape = shape(nodes, &edges);

            let reached = shape.reached(&[0]);
            for node in 0..nodes {
                prop_assert_eq!(reached[node], node == 0 || leads[0][node]);
            }
            if let Some(layers) = shape.layers() {
                let ancestors = shape.ancestors(&layers);
                for (from, row) in leads.iter().enumerate() {
                    for (to, &expected) in row.iter().enumerate() {
                        prop_assert_eq!(ancestors.contains(to, from), expected);
                    }
                }
            }
        }
    }

    #[test]
    fn the_largest_graph_of_one_line_takes_no_stack() {
        let nodes = 100_000;
        let line: Vec<_> = (1..nodes).map(|node| (node - 1, node)).collect();
        let mut ring = line.clone();
        ring.push((nodes - 1, 0));

        assert_eq!(shape(nodes, &line).layers().map(|l| l.len()), Some(nodes));
        assert_eq!(shape(nodes, &ring).cycles()[0].nodes.len(), nodes);
    }
}

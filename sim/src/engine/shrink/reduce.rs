//! Scenarios without a node: who is named, and how that changes.

use crate::scenario::{Address, Call, Command, End, Link, NodeId, Open, Role, Scenario, Trigger, Way, What};

/// Without this node, if nothing names it. Its links go with it.
pub(super) fn without(scenario: &Scenario, node: NodeId) -> Option<Scenario> {
    let mut less = scenario.clone();
    less.links.retain(|link| !link.ends.contains(&node));
    renumber(&mut less, node)?;
    Some(less)
}

/// With one link in place of this router and its two.
pub(super) fn bridged(scenario: &Scenario, router: NodeId) -> Option<Scenario> {
    if scenario.nodes[usize::from(router.0)].role != Role::Router {
        return None;
    }
    let mut less = scenario.clone();
    let mut at: Vec<usize> = Vec::new();
    at.extend((0..less.links.len()).filter(|&index| less.links[index].ends.contains(&router)));
    let &[first, second] = &at[..] else { return None };
    let other = |link: &Link| if link.ends[0] == router { link.ends[1] } else { link.ends[0] };
    let (a, b) = (other(&less.links[first]), other(&less.links[second]));
    let removed = less.links.remove(second);
    let link = &mut less.links[first];
    link.ends = [a, b];
    link.delay += removed.delay;
    link.mtu = link.mtu.min(removed.mtu);
    let across = |from: NodeId| Way { from, to: if from == a { b } else { a } };
    for_each(&mut less, &mut |named| {
        if let Named::Way(way) = named {
            if way.from == router || way.to == router {
                // From `a` to the router and from the router to `b` are the same way now.
                let from = if way.from == router { across(way.to).to } else { way.from };
                *way = across(from);
            }
        }
    });
    for fault in &mut less.faults {
        if let What::Forge { from, to, .. } = &mut fault.what {
            if *from == router {
                *from = if *to == a { b } else { a };
            }
        }
    }
    renumber(&mut less, router)?;
    Some(less)
}

/// Removes a node, and moves those behind it. `None` if it is named.
fn renumber(scenario: &mut Scenario, gone: NodeId) -> Option<()> {
    let mut named = false;
    let mut move_up = |node: &mut NodeId| {
        named |= *node == gone;
        if node.0 > gone.0 {
            node.0 -= 1;
        }
    };
    for_each(scenario, &mut |name| match name {
        Named::Way(way) => {
            move_up(&mut way.from);
            move_up(&mut way.to);
        }
        Named::Node(node) => move_up(node),
    });
    scenario.nodes.remove(usize::from(gone.0));
    (!named).then_some(())
}

/// Something that names nodes.
enum Named<'a> {
    Way(&'a mut Way),
    Node(&'a mut NodeId),
}

/// Each name of a node in a scenario, ways as a whole.
fn for_each(scenario: &mut Scenario, visit: &mut dyn FnMut(Named<'_>)) {
    for link in &mut scenario.links {
        link.ends.iter_mut().for_each(|end| visit(Named::Node(end)));
    }
    for line in &mut scenario.script {
        visit(Named::Node(&mut line.host));
        command(&mut line.command, visit);
    }
    for fault in &mut scenario.faults {
        trigger(&mut fault.when, visit);
        what(&mut fault.what, visit);
    }
    for expect in &mut scenario.expects {
        visit(Named::Node(&mut expect.node));
    }
}

fn command(command: &mut Command, visit: &mut dyn FnMut(Named<'_>)) {
    let mut end = |end: &mut End| {
        if let Address::Of(node) = &mut end.at {
            visit(Named::Node(node));
        }
    };
    match command {
        Command::Connect(_, peer, _) => visit(Named::Node(&mut peer.host)),
        Command::Call(Call::Open(_, Open::Connect { to, from }, _)) => {
            end(to);
            from.iter_mut().for_each(end);
        }
        Command::Call(
            Call::Open(_, Open::Listen(at, _) | Open::Udp(at), _)
            | Call::Connect(_, Some(at))
            | Call::SendTo(_, at, _),
        ) => end(at),
        _ => {}
    }
}

fn trigger(trigger: &mut Trigger, visit: &mut dyn FnMut(Named<'_>)) {
    match trigger {
        Trigger::At(_) => {}
        Trigger::Packet(way, _) => visit(Named::Way(way)),
        Trigger::State(node, _) | Trigger::Says(node, _) => visit(Named::Node(node)),
    }
}

fn what(what: &mut What, visit: &mut dyn FnMut(Named<'_>)) {
    match what {
        What::Tamper(way, _)
        | What::Mtu(way, _)
        | What::Cut(way, _)
        | What::Unplug(way, _)
        | What::LinkDown(way, _) => visit(Named::Way(way)),
        What::Forge { from, to, .. } => {
            visit(Named::Node(from));
            visit(Named::Node(to));
        }
        What::Route { at, to, .. } => {
            visit(Named::Node(at));
            if let Some(to) = to {
                visit(Named::Node(to));
            }
        }
        What::Host(host, _) => visit(Named::Node(host)),
    }
    if let Some(until) = what.until_mut() {
        trigger(until, visit);
    }
}

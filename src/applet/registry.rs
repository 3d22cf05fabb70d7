//! From a node's kind to its applet: where the applets' types are erased.

mod fields;
mod schema;
mod typed;

use std::fmt;
use std::sync::Arc;

use super::approval::Approval;
use super::artist::Artist;
use super::code::Code;
use super::compiled::Compiled;
use super::delay::Delay;
use super::end::End;
use super::for_each::ForEach;
use super::http_request::HttpRequest;
use super::if_else::IfElse;
use super::image::Image;
use super::llm::Llm;
use super::merge::Merge;
use super::start::Start;
use super::subflow::Subflow;
use super::switch::Switch;
use super::transform::Transform;
use super::wait_signal::WaitSignal;
use super::writer::Writer;
use super::{Applet, Description, Error, Prepared};
use crate::flow::{Inspection, Node};
use crate::memory::Memory;
use crate::provider::Providers;
use crate::provider::catalogue::Offer;
use crate::sandbox::Sandbox;
use typed::{Erased, Typed};

/// All applets of the service, by kind; cheap to clone.
#[derive(Clone)]
pub struct Registry {
    entries: Arc<[Entry]>,
    /// In the order of `entries`.
    applets: Arc<[Arc<dyn Erased>]>,
}

/// What applets are built with, because it outlives each attempt.
#[derive(Clone, Debug)]
pub struct Services {
    /// What `memory` nodes keep.
    pub memory: Memory,
    /// Who models and images are called from.
    pub providers: Providers,
    /// What runs code.
    pub sandbox: Sandbox,
}

/// One line of the catalogue.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The kind, as nodes name it.
    pub kind: &'static str,
    /// What the applet says of itself.
    pub description: Description,
    /// JSON schema of its config, with `x-template: false` on what is never rendered.
    pub config_schema: serde_json::Value,
    /// The providers that its nodes choose from; none for an applet that calls no models.
    pub offers: Vec<Offer>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = self.entries.iter().map(|entry| entry.kind);
        f.debug_list().entries(kinds).finish()
    }
}

impl Registry {
    /// The applets that come with the service, built with what they work with.
    #[must_use]
    pub fn standard(services: Services) -> Self {
        let Services {
            memory,
            providers,
            sandbox,
        } = services;
        let compiled = Arc::new(Compiled::new());
        let llm = Llm::new(providers.clone(), Arc::clone(&compiled));
        let image = Image::new(providers.clone());
        let mut applets = vec![
            erase(Approval),
            erase(Artist::new(image.clone())),
            erase(Code::new(sandbox)),
            erase(Delay),
            erase(End),
            erase(ForEach),
            erase(HttpRequest),
            erase(IfElse::new(Arc::clone(&compiled))),
            erase(image),
            erase(llm.clone()),
            erase(super::memory::Memory::new(memory)),
            erase(Merge),
            erase(Start),
            erase(Subflow),
            erase(Switch),
            erase(Transform::new(compiled)),
            erase(WaitSignal),
            erase(Writer::new(llm)),
        ];
        for (entry, _) in &mut applets {
            entry.offers = providers.offers(entry.kind);
        }
        Self::of(applets)
    }

    fn of(mut applets: Vec<(Entry, Arc<dyn Erased>)>) -> Self {
        applets.sort_by_key(|(entry, _)| entry.kind);
        let (entries, applets): (Vec<_>, Vec<_>) = applets.into_iter().unzip();
        Self {
            entries: entries.into(),
            applets: applets.into(),
        }
    }

    /// All applets, by kind in alphabetical order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// One applet.
    #[must_use]
    pub fn find(&self, kind: &str) -> Option<&Entry> {
        Some(&self.entries[self.place(kind)?])
    }

    /// What the applets say about a node that somebody wants to save; `None` if no applet is of its kind.
    ///
    /// Paths of violations are relative to `data`: `source.items[0]`, empty for `data` itself.
    #[must_use]
    pub fn inspect(&self, node: &Node) -> Option<Inspection> {
        Some(self.applets[self.place(&node.kind)?].inspect(node))
    }

    /// Makes a node of a valid revision ready to run.
    ///
    /// # Errors
    ///
    /// `UNKNOWN_APPLET` or `INVALID_CONFIG` where this binary does not understand what another one has saved.
    pub fn prepare(&self, node: &Node) -> Result<Arc<dyn Prepared>, Error> {
        let place = self.place(&node.kind).ok_or_else(|| {
            Error::permanent(
                "UNKNOWN_APPLET",
                format!("no applet is of kind {}", node.kind),
            )
        })?;
        Arc::clone(&self.applets[place]).prepare(node)
    }

    fn place(&self, kind: &str) -> Option<usize> {
        self.entries
            .binary_search_by_key(&kind, |entry| entry.kind)
            .ok()
    }
}

/// Erases an applet's type.
fn erase<A: Applet>(applet: A) -> (Entry, Arc<dyn Erased>) {
    let description = A::description();
    let entry = Entry {
        kind: A::KIND,
        config_schema: schema::of::<A::Config>(&description),
        description,
        offers: Vec::new(),
    };
    let typed = Typed::new(applet, &entry);
    (entry, Arc::new(typed))
}

#[cfg(test)]
mod tests;

//! The entity slice: from the typed facts of a request to Cedar's entities, never by way of text or JSON.
//!
//! Cedar skips a policy that errs, forbids too, and a missing entity makes it err: a slice without the user would switch
//! tenant isolation off. So the slice is checked complete before anything is decided: whatever an attribute, a parent or the
//! context refers to is there. Three kinds are exempt: what is no more than its id (members of enumerated types, organisations,
//! teams, roles, providers), and an agent's owner, of whom we know the name only; `publish` refuses policies that look any further
//! into an owner.
//!
//! This builds Cedar's own values. By way of `cedar_policy` every time would parse the word `datetime`, every attribute be
//! evaluated as an expression, every slice be searched for cycles and every request be held against the schema: half of a
//! decision, all for what follows from the types here. Tests hold what is built against `cedar_policy` and the schema.

mod context;
mod entities;

use std::collections::HashSet;

use cedar_policy::Entities;
use cedar_policy_core::ast::{Context, Entity, EntityUID, EntityUIDEntry, PartialValue, Value};
use cedar_policy_core::entities::{Entities as CoreEntities, NoEntitiesSchema, TCComputation};
use cedar_policy_core::extensions::Extensions;
use schemas::decision::{Action, DecisionRequest, ResourceFacts, ToolFacts, UserFacts};
use schemas::ids::Timestamp;

pub(crate) use entities::{Reach, slice_grants, tool_id};

use crate::arguments::ArgumentNames;
use crate::typed::{Misfit, Typed};
use crate::vocabulary::Vocabulary;

/// Why no slice could be made. Every reason denies.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SliceError {
    #[error("the names of the policy schema do not parse")]
    Vocabulary,
    #[error("the time {} ms is outside the years 0 to 9999", .0.0)]
    Time(Timestamp),
    #[error("the slice lacks `{0}`, to which it refers")]
    Incomplete(EntityUID),
    #[error("the facts lack {0}")]
    Lacking(&'static str),
    #[error(transparent)]
    Input(#[from] Misfit),
    #[error("{0}")]
    Cedar(String),
}

/// Who asks for what under which circumstances, in Cedar's terms.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) principal: EntityUID,
    pub(crate) action: EntityUID,
    pub(crate) resource: EntityUID,
    pub(crate) context: Context,
}

/// Makes the slice of one request.
pub(crate) fn build(typed: &Typed, request: &DecisionRequest) -> Result<(Request, Entities), SliceError> {
    build_knowing(typed, request, &ArgumentNames::All)
}

/// The same, though only these typed arguments are known.
pub(crate) fn build_knowing(
    typed: &Typed,
    request: &DecisionRequest,
    known: &ArgumentNames,
) -> Result<(Request, Entities), SliceError> {
    build_as(typed, request, known, Clock::Shown)
}

/// The same, though there may be no clock: then whatever reads it fails.
pub(crate) fn build_as(
    typed: &Typed,
    request: &DecisionRequest,
    known: &ArgumentNames,
    clock: Clock,
) -> Result<(Request, Entities), SliceError> {
    let mut builder = Builder { known, clock, ..Builder::new(typed)? };
    let request = builder.request(request)?;
    let entities = builder.finish(&request)?;
    Ok((request, entities))
}

/// What the grants of a request's agent are held against.
pub(crate) fn with_reach<T>(request: &DecisionRequest, then: impl FnOnce(Reach<'_>) -> T) -> T {
    let tool: Option<&ToolFacts> = if request.action == Action::UseConnection {
        request.context.tool.as_deref()
    } else {
        request.resource.tool()
    };
    let used_for = request.context.server.as_deref().filter(|_| request.action == Action::UseConnection);
    let server = tool.map(|tool| &tool.server).or(used_for).or(request.resource.server());
    then(Reach { server, tools: tool.as_slice() })
}

impl Request {
    pub(crate) fn into_cedar(self) -> cedar_policy::Request {
        self.into_core().into()
    }

    pub(crate) fn into_core(self) -> cedar_policy_core::ast::Request {
        let known = |uid| EntityUIDEntry::known(uid, None);
        let Self { principal, action, resource, context } = self;
        let (principal, action, resource) = (known(principal), known(action), known(resource));
        cedar_policy_core::ast::Request::new_unchecked(principal, action, resource, Some(context))
    }
}

/// Whether the policies are shown the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Clock {
    Shown,
    Hidden,
}

/// Attributes of an entity, or fields of a record.
type Fields = Vec<(&'static str, Value)>;

/// Collects entities, and notes what they refer to.
pub(crate) struct Builder<'t> {
    names: &'static Vocabulary,
    typed: &'t Typed,
    /// Which typed arguments are known.
    known: &'t ArgumentNames,
    clock: Clock,
    pub(crate) entities: Vec<Entity>,
    pub(crate) present: Vec<EntityUID>,
    referenced: Vec<EntityUID>,
    /// Whoever is among the entities: the same person may be agent's user, approver and owner.
    people: Vec<UserFacts>,
}

impl<'t> Builder<'t> {
    pub(crate) fn new(typed: &'t Typed) -> Result<Self, SliceError> {
        let names = Vocabulary::get().ok_or(SliceError::Vocabulary)?;
        Ok(Self {
            names,
            typed,
            known: &ArgumentNames::All,
            clock: Clock::Shown,
            entities: Vec::with_capacity(8),
            present: Vec::with_capacity(8),
            referenced: Vec::with_capacity(8),
            people: Vec::new(),
        })
    }

    pub(crate) fn request(&mut self, request: &DecisionRequest) -> Result<Request, SliceError> {
        let input = match (request.action, &request.resource) {
            (Action::CallTool, ResourceFacts::Tool(tool)) => self.typed.of(tool)?,
            _ => None,
        };
        let action = match input {
            Some(input) => self.act(input.action()),
            None => self.action(request.action)?,
        };
        let context = self.context(request.action, &request.context, input)?;
        let resource = self.resource(&request.resource);
        let principal = with_reach(request, |reach| self.principal(&request.principal, reach));
        Ok(Request { principal, action, resource, context })
    }

    pub(crate) fn action(&mut self, action: Action) -> Result<EntityUID, SliceError> {
        let entity = self.names.action(action).ok_or(SliceError::Vocabulary)?;
        Ok(self.act(entity))
    }

    /// The action belongs into the slice, with its groups: see [`Vocabulary::action`].
    fn act(&mut self, action: &Entity) -> EntityUID {
        self.present.push(action.uid().clone());
        self.entities.push(action.clone());
        action.uid().clone()
    }

    /// Checks that the slice is complete, and hands it to Cedar.
    pub(crate) fn finish(self, request: &Request) -> Result<Entities, SliceError> {
        let asked = [&request.principal, &request.action, &request.resource];
        let missing = self.referenced.iter().chain(asked).find(|uid| !self.present.contains(uid));
        if let Some(missing) = missing {
            return Err(SliceError::Incomplete(missing.clone()));
        }
        self.finish_unchecked()
    }

    pub(crate) fn finish_unchecked(self) -> Result<Entities, SliceError> {
        // Two different people under one name (of two organisations, say) are an error here, and so deny.
        let (schema, extensions) = (None::<&NoEntitiesSchema>, Extensions::all_available());
        let closed = TCComputation::AssumeAlreadyComputed;
        let entities = CoreEntities::from_entities(self.entities, schema, closed, extensions);
        entities.map(Entities::from).map_err(|error| SliceError::Cedar(error.to_string()))
    }

    /// A reference to an entity that must be in the slice.
    fn refer(&mut self, id: &EntityUID) -> Value {
        self.referenced.push(id.clone());
        Value::from(id.clone())
    }

    /// Adds an entity below its parent and further ancestors.
    fn add(
        &mut self,
        id: EntityUID,
        attributes: Fields,
        parent: EntityUID,
        further: impl IntoIterator<Item = EntityUID>,
    ) -> EntityUID {
        let attributes = attributes.into_iter().map(|(name, value)| (name.into(), PartialValue::from(value)));
        let (further, parents) = (HashSet::from_iter(further), HashSet::from([parent]));
        self.present.push(id.clone());
        self.entities.push(Entity::new_with_attr_partial_value(id.clone(), attributes, further, parents, []));
        id
    }
}

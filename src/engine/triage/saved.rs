//! What triage has open, for a catalog in which detectors came, went or changed.

use super::{Fate, Triage};
use crate::domain::{Alert, Entity, Timestamp};
use crate::engine::succession::Succession;

impl Triage {
    /// Last forms, as of `now`, of the alerts that are open about detectors that do not go on.
    pub(in crate::engine) fn ending(&self, succession: &Succession, now: Timestamp) -> Vec<Alert> {
        let ends = |detector: u16| succession.detector(detector).is_none();
        let incidents = self.incidents.iter().filter(|((detector, _), _)| ends(*detector));
        let told = incidents.filter(|(_, incident)| incident.fate == Fate::Told);
        let groups = self.groups.iter().filter(|((detector, _), _)| ends(*detector));
        let groups = groups.filter(|(_, group)| group.told);
        let open = told.map(|(_, incident)| &incident.alert);
        let last = open
            .chain(groups.filter_map(|(_, group)| group.alert.as_ref()))
            .cloned();
        last.map(|mut alert| {
            alert.count += 1;
            alert.at = alert.at.max(now);
            alert
        })
        .collect()
    }

    /// What is open about detectors that go on. What the others had open ends ([`Triage::ending`] gives its last forms);
    /// who supported it stands for itself from now on.
    pub(in crate::engine) fn handed_on(mut self, succession: &Succession) -> Triage {
        let key = |(detector, entity): (u16, Entity)| Some((succession.detector(detector)?, entity));
        let incidents = self.incidents.into_iter().filter_map(|(held, mut incident)| {
            let held = key(held)?;
            incident.alert = alert(incident.alert, succession)?;
            if let Fate::Supports(lead) = incident.fate {
                incident.fate = key(lead).map_or(Fate::Silent, Fate::Supports);
                if incident.fate == Fate::Silent {
                    incident.alert.merged_into = None;
                }
            }
            Some((held, incident))
        });
        self.incidents = incidents.collect();
        let groups = self.groups.into_iter().filter_map(|(held, mut group)| {
            group.alert = match group.alert {
                Some(open) => Some(alert(open, succession)?),
                None => None,
            };
            Some((key(held)?, group))
        });
        self.groups = groups.collect();
        for causes in self.causes.values_mut() {
            let held = std::mem::take(causes).into_iter();
            *causes = held
                .filter_map(|mut cause| {
                    cause.key = key(cause.key)?;
                    Some(cause)
                })
                .collect();
        }
        self.causes.retain(|_, causes| !causes.is_empty());
        self.company = self.company.handed_on(succession);
        self
    }
}

/// An alert under its detector's new number, without what others say that do not go on.
fn alert(mut alert: Alert, succession: &Succession) -> Option<Alert> {
    alert.first = succession.finding(alert.first)?;
    alert.peak = succession.finding(alert.peak)?;
    let findings = alert.findings.into_iter().filter_map(|mut finding| {
        finding.detector = succession.detector(finding.detector)?;
        Some(finding)
    });
    alert.findings = findings.collect();
    Some(alert)
}

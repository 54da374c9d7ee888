-- Tables and views of the results store. ASE units (eV, Å, eV/Å, eV/Å³) are unsuffixed; any other unit is in
-- the column's name. Facts are written sorted by (dataset, model, configuration), so that DuckDB skips blocks. What models
-- gave is in single precision, as they gave it; an energy, which is large, and labels are in double precision.

create table store_info (schema_version integer, data_version varchar, built_at timestamp, git_commit varchar);

-- What the next build may take over (engine/store/parts.py): fingerprint of all that a part was made of.
create table parts (kind varchar, dataset_id varchar, name varchar, fingerprint varchar);

-- training_sets has names to show, trained_on the ids of these training sets and of all that they contain; elements
-- are those that the model was trained on.
create table models (
    model_id varchar primary key, family varchar, label varchar, training_sets varchar[], trained_on varchar[],
    elements varchar[], level_of_theory varchar, n_training_structures bigint, n_parameters bigint, license varchar, paper_row integer, source varchar,
    checkpoint varchar, conservative boolean, functional varchar, energy_reference varchar, d3 boolean, gate varchar,
    note varchar, runnable boolean, reason varchar
);

-- n_clusters: clusters of the configurations that count. has_crystal: the alignment `crystal` is defined.
-- is_summary: errors and metrics came with the repository, without atoms.
-- is_one_composition: one alloy in one composition, so that an aligned energy error is the standard deviation of the
-- raw one and says nothing about energies of the alloy.
create table datasets (
    dataset_id varchar primary key, label varchar, elements varchar[], n_configs integer, n_atoms bigint,
    functional varchar, code varchar, license varchar, paper_row integer, source varchar, stands_in_for varchar,
    citation varchar, energy_reference varchar, description varchar, n_configs_paper integer, available boolean,
    reason varchar, potentials varchar, comparable boolean, comparable_note varchar, leakage varchar,
    spin varchar, hubbard_u boolean, level_of_theory varchar, reference_checked boolean,
    energy_noise_per_atom double, force_noise double, noise_note varchar,
    n_clusters integer, has_crystal boolean, is_one_composition boolean, is_summary boolean
);

-- How labels were computed, of models, training sets and datasets. What a source does not state is null or empty.
create table levels_of_theory (
    level_id varchar primary key, functional varchar, energy_reference varchar, code varchar, potentials varchar,
    generation varchar, spin varchar, hubbard_u boolean, cutoff_ev double, k_spacing double, k_density double,
    scf_criterion varchar, d3 boolean, source varchar, note varchar
);

create table training_sets (
    training_set_id varchar primary key, label varchar, elements varchar[], contains varchar[],
    level_of_theory varchar, n_structures bigint, source varchar, note varchar
);

-- Pairs where a model was trained on configurations of a dataset: certain, likely, or not known where there is a
-- suspicion that nobody could check. One row per group that is concerned, and one of group_name all for the dataset.
create table leakage (
    model_id varchar, dataset_id varchar, group_name varchar, certainty varchar, reason varchar
);

-- cluster_name: configurations that share one are of one metal, or of one cell and trajectory, and the bootstrap draws
-- them together (engine/numerics/clusters.py). kind: of structures (engine/registry/kinds.py). energy_above: of the
-- reference, per atom, above the lowest of the dataset. force_rms: root mean square length of its force on an atom.
-- element_counts: atoms of each of `elements`.
create table configurations (
    dataset_id varchar, config_id varchar, group_name varchar, in_dataset boolean, formula varchar, elements varchar[],
    n_atoms integer, numbers smallint[], positions double[], cell double[], pbc boolean[],
    energy double, forces double[], stress double[], cluster_name varchar,
    kind varchar, energy_above double, force_rms double, element_counts integer[], primary key (dataset_id, config_id)
);

create table predictions (
    dataset_id varchar, model_id varchar, config_id varchar, status varchar, reason varchar, energy double,
    forces float[], stress float[], wall_seconds double, run_id varchar
);

-- dtype, d3 and options are the worker's: precision of the forces, whether the training labels include D3 (yes, no),
-- keywords of `load` as JSON. Empty where the origin does not say. note: what is inferred about imported numbers.
create table runs (
    run_id varchar primary key, model_id varchar, dataset_id varchar, origin varchar, device varchar,
    hardware varchar, packages varchar, checkpoint_sha256 varchar, started_at timestamp, source varchar,
    wall_seconds double, n_threads integer, dtype varchar, d3 varchar, options varchar, note varchar
);

-- One row per configuration and model with a finite prediction: what every chart bins. Errors are predicted minus
-- reference; *_aligned has the per-element offsets removed that the model has on all other configurations (leave-one-out;
-- null where these do not fix them); *_crystal is the error of the energy above perfect crystals. reference_dot_* are sums over
-- force components, whose ratio over any set of configurations is the slope; element_squares sums of squared force errors
-- over the atoms of each of the configuration's `elements`.
create table errors (
    dataset_id varchar, model_id varchar, config_id varchar, group_name varchar, in_dataset boolean, n_atoms integer,
    reference_energy_per_atom double, energy_error_per_atom double, energy_error_per_atom_aligned double,
    energy_error_per_atom_crystal double,
    force_rmse double, force_mae double, force_max_error double, reference_dot_predicted double,
    reference_dot_reference double, element_squares float[]
);

-- One row per atom and model, made of the lists of predictions and configurations: nothing is stored twice.
create view force_errors as
select dataset_id, model_id, config_id, (i - 1)::integer as atom_index,
    list_extract([
        'H', 'He', 'Li', 'Be', 'B', 'C', 'N', 'O', 'F', 'Ne', 'Na', 'Mg', 'Al', 'Si', 'P', 'S', 'Cl', 'Ar',
        'K', 'Ca', 'Sc', 'Ti', 'V', 'Cr', 'Mn', 'Fe', 'Co', 'Ni', 'Cu', 'Zn', 'Ga', 'Ge', 'As', 'Se', 'Br',
        'Kr', 'Rb', 'Sr', 'Y', 'Zr', 'Nb', 'Mo', 'Tc', 'Ru', 'Rh', 'Pd', 'Ag', 'Cd', 'In', 'Sn', 'Sb', 'Te',
        'I', 'Xe', 'Cs', 'Ba', 'La', 'Ce', 'Pr', 'Nd', 'Pm', 'Sm', 'Eu', 'Gd', 'Tb', 'Dy', 'Ho', 'Er', 'Tm',
        'Yb', 'Lu', 'Hf', 'Ta', 'W', 'Re', 'Os', 'Ir', 'Pt', 'Au', 'Hg', 'Tl', 'Pb', 'Bi', 'Po', 'At', 'Rn',
        'Fr', 'Ra', 'Ac', 'Th', 'Pa', 'U', 'Np', 'Pu', 'Am', 'Cm', 'Bk', 'Cf', 'Es', 'Fm', 'Md', 'No', 'Lr',
        'Rf', 'Db', 'Sg', 'Bh', 'Hs', 'Mt', 'Ds', 'Rg', 'Cn', 'Nh', 'Fl', 'Mc', 'Lv', 'Ts', 'Og'
    ], numbers[i]) as element, in_dataset,
    labels[3 * i - 2]::float as reference_x, labels[3 * i - 1]::float as reference_y, labels[3 * i]::float as reference_z,
    (forces[3 * i - 2] - labels[3 * i - 2])::float as error_x, (forces[3 * i - 1] - labels[3 * i - 1])::float as error_y,
    (forces[3 * i] - labels[3 * i])::float as error_z
from (
    select p.dataset_id, p.model_id, p.config_id, c.in_dataset, c.numbers, c.forces as labels, p.forces,
        generate_subscripts(c.numbers, 1) as i
    from predictions p join configurations c using (dataset_id, config_id)
    where p.forces is not null and c.forces is not null
);

-- alignment: raw, per_element, or crystal where the dataset has perfect crystals. n_configs: with any result; n_energy
-- and n_force: those that the energy and force errors rest on; n_clusters: independent clusters among n_configs.
-- energy_note: why aligned errors are missing, for all or for some.
create table dataset_metrics (
    dataset_id varchar, model_id varchar, group_name varchar, alignment varchar, n_configs integer, n_failed integer,
    energy_rmse_mev_per_atom double, energy_rmse_mev_per_atom_lo double, energy_rmse_mev_per_atom_hi double,
    energy_mae_mev_per_atom double,
    force_rmse_mev_per_ang double, force_rmse_mev_per_ang_lo double, force_rmse_mev_per_ang_hi double,
    force_mae_mev_per_ang double, force_slope double,
    n_energy integer, n_force integer, n_clusters integer, energy_note varchar
);

-- Ranks over the configurations that the ranked models share, with 95 % bounds by a paired bootstrap over clusters.
-- Models that cannot be told apart share a rank; one without a rank says why, with its cause: level (of theory), seen
-- (in training), share (too few shared configurations) or numbers (none). quantity: energy or force.
create table ranks (
    dataset_id varchar, group_name varchar, alignment varchar, quantity varchar, model_id varchar, rank integer,
    rank_lo integer, rank_hi integer, n_configs integer, n_clusters integer, cause varchar, reason varchar
);

-- Mean of the RMSEs of each group of each metal (a cell), so that no cell rules it. Force cells are those in which the
-- reference has forces.
create table macro_metrics (
    dataset_id varchar, model_id varchar, alignment varchar, n_energy_cells integer, n_force_cells integer,
    macro_energy_rmse_mev_per_atom double, macro_energy_rmse_mev_per_atom_lo double,
    macro_energy_rmse_mev_per_atom_hi double, macro_force_rmse_mev_per_ang double,
    macro_force_rmse_mev_per_ang_lo double, macro_force_rmse_mev_per_ang_hi double
);

create table element_offsets (dataset_id varchar, model_id varchar, element varchar, offset_energy double);

create table element_metrics (
    dataset_id varchar, model_id varchar, element varchar, n_configs integer, energy_rmse_mev_per_atom double,
    energy_rmse_mev_per_atom_aligned double, force_rmse_mev_per_ang double
);

create table costs (
    model_id varchar, device varchar, hardware varchar, n_threads integer, n_atoms integer, batch integer,
    ms_per_step double, us_per_atom_step double, peak_memory_mb double, origin varchar, measured_at timestamp,
    occasion varchar, yardstick_ms double, ms_low double, ms_high double, load_seconds double,
    drift_mev_per_atom_ps double, is_queue boolean not null default false
);

-- relation: one family, one training set or several families. model_ids: all members of the registry.
create table ensembles (
    ensemble_id varchar primary key, label varchar, model_ids varchar[], source varchar, relation varchar
);

-- Members of an ensemble that have results on a dataset, and their weights in U (mean over configurations).
create table ensemble_members (
    ensemble_id varchar, dataset_id varchar, model_ids varchar[], weights double[], weights_source varchar
);

-- deviation: the largest distance of a member from the mean. weighted: U, with the members' weights; worst_weighted: U of
-- the configuration (engine/numerics/uncertainty.py). energy_* as the ensemble says, aligned_* about the offsets per element.
create table uncertainties (
    ensemble_id varchar, dataset_id varchar, config_id varchar, energy_deviation double, energy_error double,
    force_deviation float[], force_error float[], is_zero_by_symmetry boolean[],
    energy_standard_deviation double, force_standard_deviation float[],
    energy_weighted double, force_weighted float[], worst_weighted double, aligned_deviation double,
    aligned_standard_deviation double, aligned_weighted double, aligned_error double
);

-- How well a deviation agrees with the error of the mean. quantity: energy, energy_aligned, force (atoms) or force_worst
-- (configurations, by their worst atom). measure: maximum, standard or weighted. kind: of structures, or all.
-- coverage: share of samples whose error is below the deviation. sharpness: RMS deviation. *_lo and *_hi: 95 % bounds of a
-- bootstrap over clusters. threshold: of `auroc`, errors above it are to be told from those below.
create table agreements (
    ensemble_id varchar, dataset_id varchar, kind varchar, quantity varchar, measure varchar, n_samples bigint,
    n_clusters integer, spearman double, spearman_lo double, spearman_hi double, coverage double, coverage_lo double,
    coverage_hi double, sharpness double, rms_error double
);
create table detections (
    ensemble_id varchar, dataset_id varchar, kind varchar, quantity varchar, measure varchar, threshold double,
    share_above double, auroc double, auroc_lo double, auroc_hi double
);
-- Of all kinds together. Bins of rising deviation; RMS error where the shares `kept` remain, by deviation and at best.
create table agreement_curves (
    ensemble_id varchar, dataset_id varchar, quantity varchar, measure varchar, bin_deviations double[],
    bin_errors double[], kept double[], rejection double[], best_rejection double[]
);

-- Calibrated intervals (engine/numerics/conformal.py): distribution of |error| / (standard deviation of the ensemble +
-- floor), or of |error| where ensemble_id is empty, of one model. quantity: force (atoms) or energy (aligned, per atom).
-- unit: what weighs the same and is left out, cluster or configuration. quantiles at PROBABILITIES. For each of `levels`:
-- held_out, mean coverage of left-out units; held_out_configs, the same with each configuration weighing the same.
-- lo, hi: 95 % bounds of held_out at 0.9. median_low, median_high: ends of the 90 % interval of the median sample.
create table calibrations (
    dataset_id varchar, model_id varchar, ensemble_id varchar, quantity varchar, kind varchar, unit varchar,
    n_units integer, n_clusters integer, n_configs integer, n_samples bigint, floor double, quantiles float[],
    levels double[], held_out double[], held_out_configs double[], held_out_lo double, held_out_hi double,
    median_low double, median_high double
);

-- Rank correlation of deviation with error. force: over atoms, without the n_zero whose force is zero by symmetry;
-- spearman_within is the mean of that within one configuration, over n_within configurations.
create table ensemble_metrics (
    ensemble_id varchar, dataset_id varchar, quantity varchar, n_samples bigint, n_zero bigint, spearman double,
    spearman_within double, n_within integer
);

-- list_name: paper, own or inconsistency (of the paper). verdict: reproduced, within bounds, differs or cannot be tested
-- (engine/store/claims.py), with `reason`. paper_text: the paper's number as printed; allowed: which measured values bear
-- the statement out; found: what was measured, of all parts; value, bounds and n are those of the part that decides.
-- stand_in: how data or models differ from the paper's. page and address (JSON): the view that shows it. commands: SQL.
create table claims (
    claim_id varchar primary key, text varchar, paper_value double, measured_value double, unit varchar,
    verdict varchar, dataset_id varchar, position integer, list_name varchar, section varchar, figure varchar,
    kind varchar, paper_text varchar, allowed varchar, found varchar, measured_lo double, measured_hi double,
    n bigint, n_what varchar, stand_in varchar, reason varchar, why varchar, data_needed varchar, model_ids varchar[],
    page varchar, address varchar, commands varchar[]
);

-- Local environments. classes: one per atom, places in CLASSES of engine/numerics/local_environments.py.
create table environment_classes (dataset_id varchar, config_id varchar, classes utinyint[]);

-- A sample of atoms of each group with their SOAP vectors, of the setting that environment_settings describes. novelty:
-- distance to the nearest sampled atom of another cluster, of any dataset; null outside the dataset.
create table environments (
    dataset_id varchar, config_id varchar, atom_index integer, group_name varchar, in_dataset boolean,
    element varchar, class_name varchar, soap float[], novelty double
);

-- The same atoms with their force errors, without a look at any other atom.
create view sampled_errors as
select e.dataset_id, p.model_id, e.config_id, e.atom_index,
    (p.forces[3 * e.atom_index + 1] - c.forces[3 * e.atom_index + 1])::float as error_x,
    (p.forces[3 * e.atom_index + 2] - c.forces[3 * e.atom_index + 2])::float as error_y,
    (p.forces[3 * e.atom_index + 3] - c.forces[3 * e.atom_index + 3])::float as error_z
from environments e join configurations c using (dataset_id, config_id) join predictions p using (dataset_id, config_id)
where p.forces is not null and c.forces is not null;

-- Classes that a configuration has, as places in CLASSES, with its atoms and squared reference forces of each; and of each
-- model, in the same order, sums of squared force errors and of reference times error.
create table class_sizes (
    dataset_id varchar, config_id varchar, classes utinyint[], n_atoms integer[], reference_squares float[]
);
create table class_sums (
    dataset_id varchar, model_id varchar, config_id varchar, squares float[], products float[]
);

create table environment_settings (dataset_id varchar, setting varchar, atoms_per_group integer);

-- Force errors over the atoms of one class, with 95 % bounds over clusters. n_configs: configurations that have such atoms
-- and a prediction. Bounds are null for few clusters, and where a summary is of a version without them.
create table class_metrics (
    dataset_id varchar, model_id varchar, group_name varchar, class_name varchar, n_configs integer, n_atoms bigint,
    force_rmse_mev_per_ang double, force_slope double, force_rmse_mev_per_ang_lo double,
    force_rmse_mev_per_ang_hi double, n_clusters integer
);

-- Vacancies that models relaxed themselves (engine/relaxed_vacancies.py), energies in eV. published: the value of the
-- literature for the same metal and structure.
create table relaxed_vacancies (
    model_id varchar, element varchar, structure varchar, n_sites integer, quantity varchar, status varchar,
    reason varchar, energy double, unrelaxed_energy double, published double, total_energy double,
    crystal_energy_per_atom double, a double, c double, published_volume double, largest_displacement double,
    max_force double, n_steps integer, wall_seconds double, hardware varchar, packages varchar, started_at timestamp
);

-- Learning curves of potentials that were trained here (engine/learning_curves.py). One row per potential and cluster of
-- configurations that it did not see: sums of energy errors (eV/atom), of their squares, and of squared errors of force
-- components ((eV/Å)²). config_id: first of the cluster. labels: dft, or the model that gave what was learnt.
create table learning_errors (
    dataset_id varchar, potential varchar, labels varchar, training varchar, seed integer, share double,
    config_id varchar, group_name varchar, n_configs integer, n_atoms integer, energy_sum double, energy_square double,
    force_square double
);

-- What each of these potentials was trained on, with sums of squares and cubes of numbers of atoms, of which the cost of
-- their DFT is made; weight (Å) and ridge as cross-validation chose them.
create table learning_fits (
    dataset_id varchar, potential varchar, labels varchar, training varchar, seed integer, share double,
    held_out varchar, n_configs integer, n_clusters integer, n_atoms bigint, atoms_squared double, atoms_cubed double,
    weight double, ridge double
);

-- Structures that are drawn and have no energies (engine/cells/drawings.py). rule: how each was made.
create table drawn_defects (
    position integer, name varchar, label varchar, rule varchar, numbers smallint[], positions double[], cell double[],
    classes utinyint[]
);

-- Defect energies (engine/registry/reactions.py): sums over parts of coefficient times total energy, whose atoms balance.
-- dataset_id, config_id, in_dataset: of the first part, the cell with the defect. metals: hosts. coefficients: fractions
-- as text. factor: what turns the sum in eV into the unit. reference: in that unit; null where a part has no energy here.
-- is_converged: the label is shown to be within 20 meV or 5 % of a denser mesh; null where nobody tested it.
create table reactions (
    reaction_id varchar primary key, kind varchar, dataset_id varchar, config_id varchar, in_dataset boolean,
    metals varchar[], system varchar, environment varchar, place varchar, added varchar, per varchar, n_faces integer,
    unit varchar, factor double, part_datasets varchar[], part_configs varchar[], coefficients varchar[],
    reference double, is_converged boolean, convergence_note varchar, cluster_name varchar
);

-- What each model makes of them, in the unit of the reaction. error: prediction minus reference. part_errors: of each part
-- in meV, coefficient times error without the model's energy offset per element; error_mev their sum, error_rss_mev the
-- root of the sum of their squares, error_sum_mev the sum of their sizes.
create table reaction_errors (
    reaction_id varchar, kind varchar, dataset_id varchar, config_id varchar, in_dataset boolean, model_id varchar,
    reference double, prediction double, error double, unit varchar, part_errors double[], error_mev double,
    error_rss_mev double, error_sum_mev double, is_converged boolean
);

-- Errors and ranks by kind and dataset. labels: `shown` leaves out labels that are not shown to be converged, `all`
-- takes them in. with_seen: models that were trained on the dataset are ranked too. Ranked models are compared on the reactions that they share, others on their own (n_own). Ranks as in
-- the table ranks.
create table reaction_metrics (
    dataset_id varchar, kind varchar, labels varchar, with_seen boolean, model_id varchar, unit varchar, n_reactions integer,
    n_own integer, n_failed integer, n_expected integer, n_clusters integer, rmse double, rmse_lo double,
    rmse_hi double, mae double, mean_error double, sign_agreement double, sign_baseline double, spearman double,
    cancellation double, rank integer, rank_lo integer, rank_hi integer, cause varchar, reason varchar
);
